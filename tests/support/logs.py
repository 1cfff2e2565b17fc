"""What a test reads of the log: each record with its `extra`, and nothing redacted."""

import logging

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class UnredactedFormatter(logging.Formatter):
    """Formats a record as `message key=value …` and its traceback.

    The product's own formatter redacts credentials: a test that looks for one in the log must see what the code gave
    to the log, not what is left of it.
    """

    def format(self, record: logging.LogRecord) -> str:
        extra = "".join(f" {key}={value}" for key, value in record.__dict__.items() if key not in _STANDARD)
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info and record.exc_info[1] else ""
        return f"{record.levelname} {record.name} {record.getMessage()}{extra}{trace}"
