// Who is at work in the frame path: an ending, a pass over the TX rings, or a frame.
//
// Function: one at a time; an ending first, then commands, then frames (decision 0001). Endings and commands find every frame
// ahead with its fate: they begin when the frames' stages are empty, and no frame begins while they wait for that. A frame
// passes an ending that waits for room only if its source cannot wait. Latency: 1 cycle between two. Throughput: one at a
// time begins. Back-pressure: waits_o, stalled_o say that what is next waits for the host.
`default_nettype none

module weir_turns
  import weir_core_pkg::*;
(
    input  wire logic  clk_i,
    input  wire logic  rst_i,
    input  wire logic  flush_i,          // for one cycle: end every flow
    input  wire logic  over_i,           // for one cycle: the source is over
    input  wire logic  head_i,           // a frame is ready
    input  wire logic  hold_i,           // frames stay where they are
    input  wire logic  may_wait_i,       // the source can wait
    input  wire logic  pending_i,        // TX entries wait
    input  wire logic  ending_begun_i,
    input  wire logic  ending_done_i,
    input  wire logic  ending_stalled_i,
    input  wire logic  commands_done_i,
    input  wire logic  frame_done_i,     // the frame has left the first stage
    input  wire logic  frame_waited_i,   // with frame_done_i: it found no room and is tried again
    input  wire logic  drained_i,        // the stages behind the first are empty
    input  wire logic  writer_idle_i,
    output work_e      work_o,
    output logic       flush_o,          // a flush was asked for and has not begun
    output logic       go_ending_o,
    output logic       go_commands_o,
    output logic       go_frame_o,
    output logic       pop_o,            // the frame is taken
    output logic       waits_o,          // a frame waits for the host
    output logic       waits_new_o,      // since this cycle
    output logic       stalled_o,        // commands or an ending wait for the host
    output logic       ended_o,
    output logic       rest_o            // nothing goes on but what waits
);

  work_e work_q;
  logic tried_q, waiting_q, flush_q, over_q, ending_q, held_back, idle, ending, commands;

  assign work_o = work_q;
  assign flush_o = flush_q;
  assign held_back = head_i && !hold_i && may_wait_i && pending_i && tried_q;
  // An ending that a frame has passed goes on before anything else begins.
  assign idle = work_q == NOTHING && !ending_q;
  assign ending = flush_q || over_q;
  assign commands = pending_i && !tried_q;
  always_comb begin
    go_ending_o = idle && drained_i && ending;
    go_commands_o = idle && drained_i && !ending && commands;
    go_frame_o = head_i && !hold_i &&
                 ((idle && !ending && !commands && !held_back) ||
                  (work_q == ENDING && ending_stalled_i && !may_wait_i));
    pop_o = work_q == FRAME && frame_done_i && !frame_waited_i;
  end
  assign waits_o = (frame_done_i && frame_waited_i) || (idle && held_back) ||
                   (ending_stalled_i && head_i && may_wait_i && !hold_i);
  assign waits_new_o = waits_o && !waiting_q;
  assign stalled_o = ending_stalled_i || (idle && pending_i && tried_q);
  assign ended_o = work_q == ENDING && ending_done_i;
  assign rest_o = idle && drained_i && !go_ending_o && !go_commands_o && !go_frame_o && writer_idle_i;

  always_ff @(posedge clk_i) begin
    unique case (work_q)
      NOTHING: begin
        if (go_ending_o || (ending_q && drained_i)) work_q <= ENDING;
        else if (go_commands_o) work_q <= COMMANDS;
        else if (go_frame_o) work_q <= FRAME;
        // What found no room is tried again.
        tried_q <= 1'b0;
        if (idle && held_back) waiting_q <= 1'b1;
      end
      ENDING: begin
        if (ending_done_i) work_q <= NOTHING;
        // A source that cannot wait does not.
        else if (go_frame_o) work_q <= FRAME;
        ending_q <= !ending_done_i;
        if (waits_o) waiting_q <= 1'b1;
      end
      COMMANDS:
      if (commands_done_i) begin
        work_q  <= NOTHING;
        tried_q <= 1'b1;
      end
      default:
      if (frame_done_i) begin
        work_q <= NOTHING;
        waiting_q <= frame_waited_i;
      end
    endcase
    if (flush_i) flush_q <= 1'b1;
    if (over_i) over_q <= 1'b1;
    if (ending_begun_i) flush_q <= 1'b0;
    if (go_ending_o) over_q <= 1'b0;
    if (rst_i) begin
      work_q <= NOTHING;
      tried_q <= 1'b0;
      waiting_q <= 1'b0;
      flush_q <= 1'b0;
      over_q <= 1'b0;
      ending_q <= 1'b0;
    end
  end

endmodule

`default_nettype wire
