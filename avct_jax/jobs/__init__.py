"""Many animations: each a job of plain data, made by itself, told of beside its video, and not made twice."""
