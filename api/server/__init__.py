"""uvicorn's connection and accept loop with limits; knows nothing of patients."""
