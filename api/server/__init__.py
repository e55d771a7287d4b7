"""The HTTP/1.1 server: uvicorn's connection and accept loop with limits, for any ASGI application.

Nothing here knows what the application does; nothing here imports the rest of the project.
"""
