"""Bodies that are taken whole: of requests before a backend is chosen, of replies from the backend at its own speed.

Each body is held by one object, which counts every byte in the worker's BufferBudget and releases them once.
"""
