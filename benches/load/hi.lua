-- Calls of the classic bench: POST with a small body.
wrk.method = "POST"
wrk.body = "hi"
