"""Which of the 478 face points lie where: outlines, lids, lips, and what frames a face's mesh.

Numbers are those of MediaPipe's face mesh (Kartynnik et al. 2019, arXiv 1907.06724); left and right are the
image's. Rows run from the image's left to its right unless said otherwise.
"""

POINTS = 478  # 468 of the mesh, then 5 of each iris

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
    149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
# Points that speech, brows and lids leave alone: a head's pose is fitted to these.
RIGID = (
    33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 98, 327, 10, 338, 109, 151, 9, 127, 356, 234, 454,
)  # fmt: skip

UPPER_INNER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_OUTER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
# The two rows between outer and inner rim of each lip.
UPPER_LIP_BODY = (
    184, 74, 73, 72, 11, 302, 303, 304, 408, 183, 42, 41, 38, 12, 268, 271, 272, 407,
)  # fmt: skip
LOWER_LIP_BODY = (
    77, 90, 180, 85, 16, 315, 404, 320, 307, 96, 89, 179, 86, 15, 316, 403, 319, 325,
)  # fmt: skip
ABOVE_LIPS = (165, 167, 164, 393, 391)
BELOW_LIPS = (43, 106, 182, 83, 18, 313, 406, 335, 273)

# Each eye's lids from its image-left corner to its image-right one, the crease above, and the row above.
LEFT_UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)
LEFT_LOWER_LID = (33, 7, 163, 144, 145, 153, 154, 155, 133)
RIGHT_UPPER_LID = (362, 398, 384, 385, 386, 387, 388, 466, 263)
RIGHT_LOWER_LID = (362, 382, 381, 380, 374, 373, 390, 249, 263)
LEFT_CREASE = (247, 30, 29, 27, 28, 56, 190)
RIGHT_CREASE = (414, 286, 258, 257, 259, 260, 467)
LEFT_ABOVE_CREASE = (113, 225, 224, 223, 222, 221, 189)
RIGHT_ABOVE_CREASE = (413, 441, 442, 443, 444, 445, 342)
LEFT_UNDER_LID = (110, 24, 23, 22, 26)
RIGHT_UNDER_LID = (256, 252, 253, 254, 339)
LEFT_IRIS = (468, 469, 470, 471, 472)  # the centre first
RIGHT_IRIS = (473, 474, 475, 476, 477)
LEFT_BROW = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55)
RIGHT_BROW = (336, 296, 334, 293, 300, 285, 295, 282, 283, 276)

ABOVE_BROWS = (71, 68, 104, 69, 108, 337, 299, 333, 298, 301)
# How far rows go along when brows are raised, share of the brows' way.
BROW_SHARES = (
    ((*LEFT_BROW[:5], *RIGHT_BROW[:5]), 1.0),
    ((*LEFT_BROW[5:], *RIGHT_BROW[5:]), 0.9),
    (ABOVE_BROWS, 0.5),
    ((*LEFT_ABOVE_CREASE, *RIGHT_ABOVE_CREASE), 0.4),
    ((*LEFT_CREASE, *RIGHT_CREASE), 0.1),
    ((9, 151), 0.35),
)

EYE_CORNERS = (33, 263)  # outer; their distance is the unit of length of a face
CHIN, FOREHEAD, NOSE_TIP, UNDER_LIP = 152, 10, 1, 17


def _inner(row):
    return row[1:-1]


# A mouth and two eyes open: above each of them moves the upper field, below it the lower one. Each field is
# interpolated without the points of the other side, so that neither stretches across the opening.
NOT_UPPER = frozenset(
    (
        *_inner(LOWER_INNER_LIP), *_inner(LOWER_OUTER_LIP), *LOWER_LIP_BODY, *BELOW_LIPS,
        *_inner(LEFT_LOWER_LID), *_inner(RIGHT_LOWER_LID), *LEFT_UNDER_LID, *RIGHT_UNDER_LID,
        *LEFT_IRIS, *RIGHT_IRIS,
    )
)  # fmt: skip
NOT_LOWER = frozenset(
    (
        *_inner(UPPER_INNER_LIP), *_inner(UPPER_OUTER_LIP), *UPPER_LIP_BODY, *ABOVE_LIPS,
        *_inner(LEFT_UPPER_LID), *_inner(RIGHT_UPPER_LID), *LEFT_CREASE, *RIGHT_CREASE,
        *LEFT_IRIS, *RIGHT_IRIS,
    )
)  # fmt: skip

# (upper row, lower row) of every opening: the mouth, the image's left eye, the right one.
APERTURES = (
    (UPPER_INNER_LIP, LOWER_INNER_LIP),
    (LEFT_UPPER_LID, LEFT_LOWER_LID),
    (RIGHT_UPPER_LID, RIGHT_LOWER_LID),
)

# Middle of the skull, behind the ears, and of the neck, behind the chin: canonical frame, eye distances.
SKULL, NECK = (0.0, 0.1, 1.0), (0.0, 1.1, 0.9)
RING_SCALES = (1.12, 1.35, 1.75)  # of the rings of points around the oval, by which it is scaled
RING_SHARES = (1.0, 0.5, 0.0)  # of the head's motion that each ring takes: hair follows, background stays
JAW_SHARES = (0.1, 0.2, 0.0)  # of the oval's own motion, the jaw's above all, before they lean: neck, collar
LEAN_SHARES = (0.5, 0.0, 0.0)  # of the way that the oval goes instead of the head, for each ring
BORDER = 9  # points along each side of the image's edge, which stay
MOUTH_GAP = ((13, 14), (82, 87), (312, 317))  # inner lip points, up and down: their distance is the opening
