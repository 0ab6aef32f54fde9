"""The zoo: one family of models a file, its weights (safetensors) and cards beside it."""
