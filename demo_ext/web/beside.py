"""What runs beside the pages, so that one command is enough for a demonstration: the warehouse, and a worker.

In real life the warehouse is somebody else's, and workers are processes of their own (``taskqueue --app
demo_ext.orders.shop:service work``); such ones may be started here, too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask

from taskqueue import Worker

from ..orders import shop, warehouse


@contextmanager
def running(app: Flask) -> Iterator[None]:
    """Both of them, for as long as the context is open; the application finds the warehouse in its extensions."""
    worker = Worker(shop.service, grace=5)
    thread = threading.Thread(target=worker.run, name="worker")
    with warehouse.running() as server:
        app.extensions["warehouse"] = server
        os.environ[shop.ADDRESS] = server.address
        thread.start()
        try:
            yield
        finally:
            worker.stop()
            thread.join()
