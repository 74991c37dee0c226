"""Reading DLMS/COSEM meters: the opening, the association, and a client that is patient with real meters."""
