// weir_turns: one at a time, in the order of decision 0001, and nothing that was asked for is lost.
`default_nettype none

module formal_turns
  import weir_core_pkg::*;
(
    input wire logic clk_i,
    input wire logic rst_i,
    input wire logic flush_i,
    input wire logic over_i,
    input wire logic head_i,
    input wire logic hold_i,
    input wire logic may_wait_i,
    input wire logic pending_i,
    input wire logic ending_begun_i,
    input wire logic ending_done_i,
    input wire logic ending_stalled_i,
    input wire logic commands_done_i,
    input wire logic frame_done_i,
    input wire logic frame_waited_i,
    input wire logic drained_i,
    input wire logic writer_idle_i
);

  work_e work;
  logic flush, go_ending, go_commands, go_frame, pop, waits, waits_new, stalled, ended, rest;

  weir_turns dut (
      .*,
      .work_o       (work),
      .flush_o      (flush),
      .go_ending_o  (go_ending),
      .go_commands_o(go_commands),
      .go_frame_o   (go_frame),
      .pop_o        (pop),
      .waits_o      (waits),
      .waits_new_o  (waits_new),
      .stalled_o    (stalled),
      .ended_o      (ended),
      .rest_o       (rest)
  );

  logic started_q = 1'b0;
  logic wanted_q, over_q, inside_q, tried_q, frame_q, passed_q;
  logic drained_q;
  work_e before_q;

  always_ff @(posedge clk_i) begin
    started_q <= 1'b1;
    before_q <= work;
    drained_q <= drained_i;
    // What was asked for and has not begun.
    wanted_q <= !rst_i && (wanted_q || flush_i) && !ending_begun_i;
    over_q <= !rst_i && (over_q || over_i) && !go_ending;
    // An ending that has begun and is not over.
    inside_q <= !rst_i && (inside_q || go_ending) && !ended;
    // The commands had their turn since anything else had.
    tried_q <= !rst_i && work == COMMANDS && commands_done_i;
    // A frame has begun and has not left the first stage.
    frame_q <= !rst_i && (frame_q || go_frame) && !frame_done_i;
    // It has passed an ending.
    passed_q <= !rst_i && work == ENDING && go_frame || passed_q && work != ENDING;

    // Workers say that they are done when they work.
    assume (rst_i || started_q);
    assume (!ending_done_i || (work == ENDING && !ending_stalled_i));
    assume (!ending_stalled_i || work == ENDING);
    assume (!ending_begun_i || go_ending || (work == ENDING && flush));
    assume (!go_ending || ending_begun_i);
    assume (!commands_done_i || work == COMMANDS);
    assume (!frame_done_i || work == FRAME);

    if (started_q && !rst_i) begin
      assert (32'(go_ending) + 32'(go_commands) + 32'(go_frame) <= 1);
      assert (flush == wanted_q);
      // Whoever has its turn keeps it until it is done; only an ending without room lets a frame pass.
      if (go_ending || go_commands) assert (work == NOTHING);
      // They find every frame ahead with its fate.
      if (go_ending || go_commands) assert (drained_i);
      if (go_frame && work != NOTHING) assert (work == ENDING && ending_stalled_i && !may_wait_i);
      // Order: endings, commands that have not just been tried, frames.
      if (go_commands || (go_frame && work == NOTHING)) assert (!wanted_q && !over_q);
      if (go_frame && work == NOTHING) assert (!pending_i || tried_q);
      if (go_frame) assert (head_i && !hold_i);
      // A frame that can wait does not pass commands that found no room.
      if (go_frame && may_wait_i) assert (!pending_i);
      // An ending goes on after the frame that passed it, and before anything else.
      if (inside_q) assert (work == ENDING || work == FRAME || work == NOTHING);
      if (inside_q && work == NOTHING) assert (!go_commands && !go_frame && !go_ending);
      if (before_q == NOTHING && work == ENDING && inside_q && passed_q) assert (drained_q);
      if (work == ENDING) assert (inside_q);
      // Each frame that has begun leaves the first stage, once.
      assert (frame_q == (work == FRAME));
      if (pop) assert (frame_q && frame_done_i && !frame_waited_i);
      if (rest) assert (!wanted_q && !over_q && !inside_q && !frame_q && drained_i && writer_idle_i);
      if (before_q == NOTHING && work == FRAME) assert (!inside_q);
    end
  end

endmodule

`default_nettype wire
