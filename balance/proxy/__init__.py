"""The data path's asyncio protocols, the only code there that owns sockets: they read, call the logic, write and set timers."""
