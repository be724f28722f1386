//! What the operator allows: the settings file, parsed strictly. Pure: text in, types out.
