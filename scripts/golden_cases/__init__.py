"""The golden cases, one module per family; `scripts/goldens.py` runs them."""
