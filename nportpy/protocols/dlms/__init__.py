"""DLMS/COSEM: links, associations, services, values and classes of meters (IEC 62056, DLMS UA 1000-1 and 1000-2)."""
