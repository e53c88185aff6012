// A frame's first stage: what its key is, and whether there is room for it.
//
//     key ─ room ─ hand on
//            └ waits: nothing was done, the frame is offered again
//
// Function: the beginning of hw-sim/src/pipeline/mod.rs, `offer`, before a frame is accepted. Room is sought while the frame
// ahead is looked up; where entries end there, or are reported, it is sought again (hold_i). Latency: 13 cycles where there is
// room for sure (weir_room). Throughput: one frame at a time. Back-pressure: the frame stays where it is.
`default_nettype none

module weir_room_stage
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_core_pkg::*;
  import weir_frame_pkg::*;
(
    input  wire logic         clk_i,
    input  wire logic         rst_i,
    input  wire logic         go_i,              // take the frame that stands there
    output logic              done_o,
    output logic              waited_o,          // with done_o: it has to be offered again
    input  wire logic         drained_i,         // no frame is in a stage behind this one
    input  wire logic         hold_i,            // entries end or are reported in the next stage
    input  wire logic         ready_i,           // the next stage takes a frame
    output logic              hand_o,            // it gets one: frame_o
    output frame_t            frame_o,
    input  wire frame_meta_t  meta_i,
    input  wire parsed_t      parsed_i,          // both stay until done_o
    input  wire logic         may_wait_i,
    input  wire core_config_t config_i,
    input  wire logic [63:0]  now_i,             // frame time
    output logic [63:0]       cause_o,           // number of the last frame that was offered
    output logic              key_valid_o,
    input  wire logic         key_valid_i,
    input  wire flow_key_t    key_i,
    input  wire logic [63:0]  hash_i,
    input  wire logic         from_lower_i,
    output room_request_t     room_o,
    input  wire room_answer_t room_i,
    input  wire logic         in_flight_full_i,
    input  wire logic         in_flight_near_i   // the frames ahead may fill it
);

  typedef enum logic [2:0] {IDLE, KEY, ROOM, HAND, WAITED} state_e;

  state_e state_q;
  frame_t f_q;
  logic sent_q, keyed, near;

  assign keyed = parsed_i.keyed && parsed_i.has_ends;
  assign near = in_flight_near_i && !drained_i;
  assign hand_o = state_q == HAND && !hold_i && ready_i;
  assign done_o = hand_o || state_q == WAITED;
  assign waited_o = state_q == WAITED;
  assign frame_o = f_q;
  assign key_valid_o = state_q == KEY && !sent_q && keyed;

  always_comb begin
    room_o = '0;
    if (state_q == ROOM) begin
      room_o.valid = !sent_q && !near && !(in_flight_full_i && may_wait_i);
      room_o.may_wait = may_wait_i;
      room_o.queue_of = f_q.queue_of;
      room_o.length_of = meta_i.length_of;
      room_o.now = greatest(now_i, meta_i.time_of);
    end
  end

  always_ff @(posedge clk_i) begin
    sent_q <= 1'b1;
    unique case (state_q)
      IDLE: begin
        sent_q <= 1'b0;
        f_q <= '0;
        f_q.cause <= FATE_FRAME;
        if (go_i) state_q <= KEY;
      end
      KEY: begin
        f_q.meta <= meta_i;
        f_q.keyed <= keyed;
        f_q.payload <= keyed && parsed_i.payload_end > parsed_i.payload_start;
        f_q.payload_bytes <= 21'(parsed_i.payload_end) - 21'(parsed_i.payload_start);
        f_q.key <= key_i;
        f_q.hash <= hash_i;
        f_q.from_lower <= from_lower_i;
        f_q.queue_of <= hash_i[5:0] & config_i.queue_mask;
        cause_o <= meta_i.number;
        if (!keyed) f_q.queue_of <= '0;
        if (key_valid_i || !keyed) begin
          sent_q  <= 1'b0;
          state_q <= ROOM;
        end
      end
      ROOM: begin
        f_q.placed <= room_i.placed;
        if (!sent_q && near) begin
          sent_q <= 1'b0;
        end else if (!sent_q && in_flight_full_i && may_wait_i) begin
          state_q <= WAITED;
        end else if (room_i.valid && hold_i) begin
          sent_q <= 1'b0;
        end else if (room_i.valid) begin
          state_q <= room_i.waits ? WAITED : HAND;
        end
      end
      HAND: begin
        sent_q <= 1'b0;
        if (hold_i) state_q <= ROOM;
        else if (ready_i) state_q <= IDLE;
      end
      default: state_q <= IDLE;
    endcase
    if (rst_i) begin
      state_q <= IDLE;
      cause_o <= '0;
    end
  end

`ifndef SYNTHESIS
  // Frames wait only if none is ahead, so what a wait was decided by does not change behind its back.
  always_ff @(posedge clk_i) begin
    if (!rst_i) assert (!(room_i.valid && room_i.waits && !drained_i));
  end
`endif

endmodule

`default_nettype wire
