"""Self-supervised encoders of time series: data, methods, training, evaluation and encoding."""
