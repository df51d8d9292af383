"""The machine: device, processes that train together, allocator, warnings of other libraries, figures, tensors."""
