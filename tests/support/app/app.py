"""An app on gunicorn: what it does with a request is in the path."""

import os
import signal
import time


def app(environ, start_response):
    _, what, *much = environ["PATH_INFO"].split("/")
    # At once: the workers share the pipe.
    os.write(1, f"request {environ['PATH_INFO']}\n".encode())
    if what == "hang":
        time.sleep(60)
    elif what == "slow":
        time.sleep(int(much[0]) / 1000)
    elif what == "stuck":
        # As in C code that never comes back: the polite signal is not seen.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
        time.sleep(60)
    elif what == "exit":
        os._exit(int(much[0]))
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]
