"""Stages of the paper's system: E_kd and E_r, D_sync, E_avct with D_seq, E_h."""
