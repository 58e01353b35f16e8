"""Files that anybody may have made, read within bounds; files of ours, written whole or not at all."""
