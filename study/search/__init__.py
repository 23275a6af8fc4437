"""Choose the settings to try. Everything that uses Optuna is here, except for parts of study/space.py."""
