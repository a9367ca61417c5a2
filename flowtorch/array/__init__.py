"""What a device array owes the rest: strided memory with a dtype, addressed through an interned TensorType."""
