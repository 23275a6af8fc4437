"""While a study runs, the libraries' messages go to a file in its folder and not to the display."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

LIBRARIES = ("ray", "ray.tune", "optuna", "alembic", "sqlalchemy")


class _File(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Drop a line that cannot be written: the disk is full, and another message tells the user so."""


@contextlib.contextmanager
def library_messages_in(file: Path) -> Iterator[None]:
    """Inside this context, write to a file what Ray, Optuna and its database layer log.

    The root logger gets the file, since `ray.init` removes the handlers of other loggers.
    """
    handler = _File(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [], True
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeHandler(handler)
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
