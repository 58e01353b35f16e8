"""What a row of speech features holds, in one place: networks and front ends take their sizes from here.

40 ms of audio lie behind each frame of a video, and are described by ROWS rows of COLUMNS numbers.
"""

ROWS = 4  # a frame, 10 ms each
MFCC = slice(0, 13)  # the first of them is the logarithm of the row's energy
FILTERBANK = slice(13, 39)  # logarithms of 26 energies
F0 = 39  # Hz, or what a front end makes of it
VOICED = 40  # flag; of the streaming features: somebody speaks
COLUMNS = 41

STEPS = 2  # phoneme posteriors a frame, 20 ms each
BLANK = 0  # the posterior that nothing is said
LEAST_LOG = -14.0  # natural logarithm: posteriors below are as good as none
