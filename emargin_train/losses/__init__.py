"""Loss functions: pure functions of embeddings, with their equations and closed-form gradients."""
