// Ends every entry of the flow table: CONTROL.FLUSH, or the source is over.
//
// Function: bucket by bucket; with a flush, chains go to the host before their entries end, except of entries whose time is
// up: those have ended before (hw-sim/src/pipeline/life.rs, `end_one`). Latency: some 10 cycles for a bucket and 25 for
// each entry. Throughput: one at a time. Back-pressure: stalled_o while a ring has no room.
`default_nettype none

module weir_ending
  import weir_contract_pkg::*;
  import weir_verdict_pkg::*;
  import weir_core_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    parameter  int unsigned SLOT = 6,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                    clk_i,
    input  wire logic                    rst_i,
    input  wire logic                    go_i,
    input  wire logic                    flush_i,     // with go_i; else the source is over
    input  wire logic                    again_i,     // a flush is asked for: begin anew
    output logic                         begun_o,     // what was asked for begins
    input  wire logic [63:0]             now_i,       // frame time
    input  wire logic                    pause_i,     // another is at work: stay where the ring had no room
    output logic                         done_o,
    output logic                         stalled_o,
    input  wire logic [QUEUES-1:0][31:0] descriptors_free_i,
    input  wire logic [QUEUES-1:0]       records_on_i,
    input  wire logic [QUEUES-1:0][31:0] records_free_i,
    output table_request_t               table_o,
    input  wire table_answer_t           table_i,
    output verdict_request_t             verdict_o,
    input  wire verdict_answer_t         verdict_i,
    output logic [31:0]                  identity_slot_o,
    input  wire identity_t               identity_i,
    output life_request_t                life_o,
    input  wire logic                    life_done_i
);

  typedef enum logic [3:0] {IDLE, BUCKET, WAY, PEEK, NAME, ROOM, FREE, HANDOVER, FINISH, DONE} state_e;

  state_e state_q;
  logic flush_q, sent_q, chain_q, over_q, paused_q, full, anew;
  logic [SLOT-4:0] bucket_q;
  logic [7:0] left_q;
  logic [2:0] way, from_q;
  logic [31:0] slot;
  logic [QUEUES_LOG2-1:0] queue;

  always_comb begin
    way = '0;
    for (int unsigned w = 8; w > 0; w--) if (left_q[w-1]) way = 3'(w - 1);
    slot = 32'({bucket_q, way});
    full = (records_on_i[queue] && records_free_i[queue] == '0) ||
           (chain_q && descriptors_free_i[queue] == '0);
  end

  assign queue = identity_i.queue_of[QUEUES_LOG2-1:0];
  assign identity_slot_o = slot;
  assign done_o = state_q == DONE;
  assign stalled_o = state_q == ROOM && full && !pause_i && !paused_q && !again_i;
  assign begun_o = (state_q == IDLE && go_i) || anew;
  // Only where nothing of an entry is half done.
  assign anew = again_i && !pause_i && (state_q == WAY || state_q == ROOM);

  always_comb begin
    table_o = '0;
    verdict_o = '0;
    life_o = '0;
    unique case (state_q)
      BUCKET: begin
        table_o.valid = !sent_q;
        table_o.op = TABLE_SWEEP;
        table_o.slot = 32'({bucket_q, 3'd0});
        // Nothing is over at the beginning of time.
        table_o.now = '0;
      end
      // Is its time up? Whether it is or not, it is freed.
      NAME, FREE: begin
        table_o.valid = !sent_q;
        table_o.op = state_q == FREE ? TABLE_FORGET : TABLE_NAME;
        table_o.slot = slot;
        table_o.generation_of = identity_i.generation_of;
        table_o.now = state_q == FREE ? '0 : now_i;
      end
      PEEK: begin
        verdict_o.valid = !sent_q;
        verdict_o.slot = slot;
        verdict_o.beat.op = VERDICT_HANDOVER;
        verdict_o.beat.stale = 1'b1;
      end
      HANDOVER: begin
        life_o.valid = !sent_q;
        life_o.op = LIFE_HANDOVER;
        life_o.slot = slot;
      end
      FINISH: begin
        life_o.valid = !sent_q;
        life_o.op = LIFE_END;
        life_o.kind = flush_q && !over_q ? 8'(FLOW_RECORD_KIND_FLUSHED) : 8'(FLOW_RECORD_KIND_AGED);
        life_o.slot = slot;
      end
      default: ;
    endcase
  end

  always_ff @(posedge clk_i) begin
    sent_q <= 1'b1;
    paused_q <= pause_i;
    unique case (state_q)
      IDLE: begin
        sent_q <= 1'b0;
        bucket_q <= '0;
        from_q <= '0;
        flush_q <= flush_i;
        if (go_i) state_q <= BUCKET;
      end
      BUCKET: begin
        left_q <= table_i.used & (8'hff << from_q);
        if (table_i.valid) state_q <= WAY;
      end
      WAY: begin
        sent_q <= 1'b0;
        if (left_q != '0) begin
          state_q <= PEEK;
        end else begin
          bucket_q <= bucket_q + (SLOT - 3)'(1);
          from_q   <= '0;
          state_q  <= bucket_q == '1 ? DONE : BUCKET;
        end
      end
      PEEK: begin
        chain_q <= flush_q && verdict_i.state.chain_count != '0;
        if (verdict_i.valid) begin
          sent_q  <= 1'b0;
          state_q <= NAME;
        end
      end
      NAME: begin
        over_q <= !table_i.live;
        if (table_i.valid) begin
          if (!table_i.live) chain_q <= 1'b0;
          state_q <= ROOM;
        end
      end
      ROOM: begin
        // While there is no room, frames may pass that change what the bucket and the entry hold.
        sent_q <= 1'b0;
        from_q <= way;
        if (!pause_i && paused_q) state_q <= BUCKET;
        else if (!pause_i && !full) state_q <= FREE;
      end
      FREE:
      if (table_i.valid) begin
        sent_q <= 1'b0;
        if (table_i.live) begin
          state_q <= chain_q ? HANDOVER : FINISH;
        end else begin
          left_q[way] <= 1'b0;
          state_q <= WAY;
        end
      end
      HANDOVER:
      if (life_done_i) begin
        sent_q  <= 1'b0;
        state_q <= FINISH;
      end
      FINISH:
      if (life_done_i) begin
        left_q[way] <= 1'b0;
        state_q <= WAY;
      end
      default: state_q <= IDLE;
    endcase
    if (anew) begin
      sent_q <= 1'b0;
      bucket_q <= '0;
      from_q <= '0;
      flush_q <= 1'b1;
      state_q <= BUCKET;
    end
    if (rst_i) state_q <= IDLE;
  end

endmodule

`default_nettype wire
