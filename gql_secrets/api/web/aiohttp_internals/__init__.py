"""Connections, and everything else that uses private parts of aiohttp.

aiohttp gives a connection as much time for its first head as for being idle, any number of bytes for a head within its
limits per line, and unlimited time for a body. Here, each connection that owes a head or a body is in a queue ordered
by its deadline, and one timer looks at the front of both queues: a request costs two entries in a dict, and no timer.

aiohttp answers each request in a task, for which it wakes another one. An answer that needs no awaiting is written
without either (`Connection.answer_arrived`), if the connection has nothing else to do. That is done once in each run of
the event loop, for all requests that have arrived by then, so that they can share one look at the database; an answer
of several steps takes each of them together with the others (`Steps`). aiohttp's request object is made only for an
answer that needs more than headers and the connection (`ArrivedRequest`). Where only the response must be awaited, a
task of the connection makes it, and aiohttp's is woken only if anything else comes up: another request, the end of the
connection, a failure.

The private attributes, all in this folder, because a minor release of aiohttp may change them (`pyproject.toml` has the
bound, `tests/api/web/test_aiohttp_internals.py` the list):

- `web.AppRunner._make_server`
- `web.Server`: `_kwargs`, `_loop`
- `web.RequestHandler`: `_close`, `_force_close`, `_keepalive_timeout`, `_messages`, `_next_keepalive_close_time`,
  `_process_keepalive`, `_request_count`, `_request_factory`, `_task_handler`, `_waiter`, and of its base class
  `_drain_helper`, `_loop`, `_parser`, `_paused`, `_reading_paused`
- `web.Request`: `_match_info`, `_payload_writer`
- `StreamReader`: `_buffer`
- `web.StreamResponse`: `_eof_sent`, `_keep_alive`
- `aiohttp.helpers.rfc822_formatted_time`
"""
