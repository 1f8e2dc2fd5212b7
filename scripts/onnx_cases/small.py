"""Names of the cases that are committed as goldens: each option and each exporter at least once."""

NAMES = {
    "lstm_bidirectional_states", "lstm_reverse_lens", "lstm_forward_lens_states_h", "lstm_bidirectional_peepholes_clip",
    "lstm_forward_coupled", "lstm_forward_act0", "lstm_forward_act4", "lstm_bidirectional_act5", "gru_reverse_y", "gru_forward_clip", "gru_bidirectional_linear_lens",
    "gru_mixed_directions", "rnn_bidirectional_all", "rnn_reverse_act3", "lstm_h_only",
    "stacked_bidirectional", "last_step", "middle_steps", "open_last", "zero_states", "learned_states", "encoder_decoder",
    "autoencoder", "states_in_and_out", "embedding_lens", "lens_then_plain", "normalized", "branches", "attention",
    "flattened", "merged_batch", "fixed_sizes", "batch_of_one", "opset_11", "activations",
    "layout_1_lstm_bidirectional", "layout_1_gru_reverse", "layout_1_rnn_bidirectional",
    "lstm_stacked_all_script_dynamic", "gru_bidirectional_state_dynamo_dynamic", "rnn_mean_norm_dynamo",
    "lstm_embedding_script", "lstm_states_script_dynamic", "gru_learned_script_dynamic",
    "lstm_packed_script_dynamic", "gru_packed_script", "gru_sorted_script_dynamic", "gru_sorted_dynamo_dynamic", "lstm_squeezed_script_dynamic",
    "rnn_scan_batch_first", "lstm_scan_states", "gru_scan_backwards_in_place",
    "lstm_stacked_tensorflow", "embedding_tensorflow", "bidirectional_tensorflow", "lstm_torch", "gru_unrolled_torch",
    "gru_open_tensorflow", "gru_before_tensorflow", "gru_hard_tensorflow", "gru_bidirectional_tensorflow", "gru_first_states_tensorflow",
    "gru_masked_sequences_tensorflow", "gru_masked_bidirectional_tensorflow", "lstm_masked_tensorflow", "lstm_linear_tensorflow",
    "rnn_masked_embedding_tensorflow", "rnn_states_tensorflow", "cells_tensorflow", "gru_silu_tensorflow", "prelu_tensorflow",
    "normalized_tensorflow",
}

# Of the models with masks, those whose ONNX models, as they are written here, are committed.
WRITTEN = {"lstm_zeros", "gru_words", "rnn_both_concat", "gru_first_states", "lstm_first_states_last", "gru_mask_of_another"}
