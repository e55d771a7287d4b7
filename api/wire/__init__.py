"""From bytes to findings and back: decoding, validation errors, problems, OpenAPI."""
