"""A model's slow operations computed in faster ways, chosen by timing them on this device."""
