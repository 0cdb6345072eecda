"""HTTP, one file per subject: a route reads a request, calls one function, writes its answer."""
