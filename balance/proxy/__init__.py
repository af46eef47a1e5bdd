"""The asyncio shells of the data path: the only code there that owns sockets. Each feeds, decides, writes, arms a timer."""
