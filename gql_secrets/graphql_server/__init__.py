"""GraphQL over HTTP, WebSocket and server-sent events for any Strawberry schema; imports nothing of the product."""
