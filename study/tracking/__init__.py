"""A study in MLflow: everything that touches MLflow, in a process of its own beside the driver."""
