"""Which settings are tried: everything that touches Optuna, but for the distributions in study/space.py."""
