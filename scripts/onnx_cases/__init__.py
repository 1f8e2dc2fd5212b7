"""Models for `interop_onnx.py`: each family is a generator of `Case`s."""
