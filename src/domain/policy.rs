//! Who may do what. To be written.
