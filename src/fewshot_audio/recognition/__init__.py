"""Recognizers: enrolling clips, answering, the unknown decision, bundles, ONNX export, shipped recognizers."""
