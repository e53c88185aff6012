// What an entry of the flow table says to the host: flow records, and its chain of history.
//
// Function: hw-sim/src/pipeline/life.rs and `hand_over` of verdict.rs. Both states of the entry are read (or changed, where
// its chain goes), then a flow record or a HANDOVER descriptor is written. Latency: 5 cycles and the queue writer.
// Throughput: one request at a time. Back-pressure: the answer.
`default_nettype none

module weir_life
  import weir_contract_pkg::*;
  import weir_flow_pkg::*;
  import weir_verdict_pkg::*;
  import weir_dma_pkg::*;
  import weir_core_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                    clk_i,
    input  wire logic                    rst_i,
    input  wire logic [31:0]             epoch_i,     // of the active bank
    input  wire logic [63:0]             number_i,    // last frame taken
    input  wire logic [63:0]             cause_i,     // frame at hand
    input  wire logic [63:0]             now_i,
    input  wire logic [QUEUES-1:0][31:0] record_entries_i,
    input  wire logic [QUEUES-1:0][31:0] record_consumer_i,
    input  wire life_request_t           request_i,
    output logic                         done_o,
    output logic [QUEUES-1:0]            records_on_o,    // flow records are wanted
    output logic [QUEUES-1:0][31:0]      records_free_o,
    output parse_request_t               parse_o,
    input  wire parse_answer_t           parse_i,
    output verdict_request_t             verdict_o,
    input  wire verdict_answer_t         verdict_i,
    output logic [31:0]                  identity_slot_o,
    input  wire identity_t               identity_i,      // in the next cycle
    output write_request_t               write_o,
    input  wire logic                    write_ready_i,
    output pin_request_t                 pin_o,
    input  wire pin_answer_t             pin_i,
    output count_t                       count_o
);

  typedef enum logic [2:0] {IDLE, READ, DECIDE, WRITE, PIN, DONE} state_e;

  state_e state_q;
  life_request_t request_q;
  flow_state_t flow_q;
  verdict_state_t verdict_q;
  verdict_out_t out_q;
  logic [QUEUES-1:0][31:0] producer_q;
  logic [QUEUES_LOG2-1:0] queue;
  logic record, given, room;
  descriptor_t descriptor;
  logic [5:0] reason;

  assign queue = identity_i.queue_of[QUEUES_LOG2-1:0];
  assign record = request_q.op inside {LIFE_END, LIFE_REPORT};
  assign given = request_q.op inside {LIFE_HANDOVER, LIFE_DIVERT};
  assign room = records_free_o[queue] != '0;
  assign reason = request_q.op == LIFE_DIVERT ? 6'(GUARD_HOST_DIVERT) : 6'(GUARD_EXPIRING);
  assign identity_slot_o = request_q.slot;
  assign done_o = state_q == DONE;

  always_comb begin
    for (int unsigned q = 0; q < QUEUES; q++) begin
      records_on_o[q] = record_entries_i[q] != '0;
      records_free_o[q] = record_entries_i[q] - (producer_q[q] - record_consumer_i[q]);
    end
  end

  always_comb begin
    descriptor = '0;
    descriptor.kind = 8'(DESCRIPTOR_KIND_HANDOVER);
    descriptor.flags[FRAME_FLAGS_DIRECTION_SURE_BIT] = flow_q.intact;
    descriptor.flags[FRAME_FLAGS_MIDSTREAM_BIT] = flow_q.midstream;
    descriptor.flags[FRAME_FLAGS_HOLE_BIT] = verdict_q.hole;
    descriptor.flags[FRAME_FLAGS_STICKY_BIT] = verdict_q.sticky;
    descriptor.class_ = class_of(flow_q);
    descriptor.frame_number = cause_i;
    descriptor.position = POSITION_NONE;
    descriptor.flow_index = request_q.slot;
    descriptor.flow_generation = identity_i.generation_of;
    descriptor.chain_head = out_q.chain.count == '0 ? POSITION_NONE : out_q.chain.head;
    descriptor.chain_count = out_q.chain.count;
    descriptor.guards = 64'd1 << reason;
    descriptor.first_record = RECORD_NONE;
    descriptor.epoch = epoch_i;
  end

  always_comb begin
    parse_o = '0;
    verdict_o = '0;
    write_o = '0;
    pin_o = '0;
    count_o = '0;
    count_o.amount_of = '1;
    unique case (state_q)
      IDLE:
      if (request_i.valid) begin
        parse_o.valid = 1'b1;
        parse_o.slot = request_i.slot;
        parse_o.peek = request_i.op != LIFE_DIVERT;
        parse_o.divert = request_i.op == LIFE_DIVERT;
        parse_o.arrival.created = request_i.created;
        parse_o.arrival.number = number_i;
        parse_o.arrival.now = now_i;
        verdict_o.valid = 1'b1;
        verdict_o.slot = request_i.slot;
        verdict_o.beat.op = request_i.op == LIFE_DIVERT ? VERDICT_DIVERT : VERDICT_HANDOVER;
        verdict_o.beat.created = request_i.created;
        // For another generation: only read.
        verdict_o.beat.stale = request_i.op inside {LIFE_END, LIFE_REPORT};
        verdict_o.beat.room = request_i.op != LIFE_LOSE;
        verdict_o.beat.number = number_i;
        verdict_o.beat.position = POSITION_NONE;
      end
      DECIDE: begin
        if (request_q.op == LIFE_END) begin
          count_o.less[COUNTER_FLOWS_LIVE] = 1'b1;
          if (request_q.kind == 8'(FLOW_RECORD_KIND_AGED)) count_o.more[COUNTER_FLOWS_AGED] = 1'b1;
          else count_o.more[COUNTER_FLOWS_FORGOTTEN] = 1'b1;
        end
        if (record && records_on_o[queue] && !room) count_o.more[COUNTER_FLOW_RECORDS_LOST] = 1'b1;
        if (request_q.op == LIFE_DIVERT && out_q.newly) count_o.more[COUNTER_DIVERT_NEW] = 1'b1;
        if (request_q.op == LIFE_LOSE) begin
          count_o.amount_of = 7'(COUNTER_HISTORY_LOST);
          count_o.amount = 64'(out_q.chain.count);
        end
      end
      WRITE: begin
        write_o.valid = 1'b1;
        write_o.queue_of = identity_i.queue_of;
        if (record) begin
          write_o.kind = WRITE_FLOW_RECORD;
          write_o.body = flow_record(flow_q, verdict_q, identity_i, request_q.slot, request_q.kind);
          count_o.more[COUNTER_FLOW_RECORDS] = write_ready_i;
        end else begin
          write_o.kind = WRITE_DESCRIPTOR;
          write_o.body = 1024'(descriptor);
          pin_o.valid = write_ready_i;
          pin_o.push = 1'b1;
          pin_o.queue_of = identity_i.queue_of;
          pin_o.oldest = out_q.chain.count == '0 ? POSITION_NONE : out_q.chain.oldest;
          if (write_ready_i) begin
            count_o.more[COUNTER_DESCRIPTORS] = 1'b1;
            count_o.more[COUNTER_DESCRIPTORS_HANDOVER] = 1'b1;
            count_o.amount_of = 7'(COUNTER_CHAIN_FRAMES);
            count_o.amount = 64'(out_q.chain.count);
            count_o.guards[reason] = 1'b1;
          end
        end
      end
      default: ;
    endcase
  end

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      IDLE:
      if (request_i.valid) begin
        request_q <= request_i;
        state_q   <= READ;
      end
      READ: begin
        flow_q <= parse_i.state;
        verdict_q <= verdict_i.state;
        out_q <= verdict_i.out;
        if (parse_i.valid) state_q <= DECIDE;
      end
      DECIDE: begin
        if (given || (record && records_on_o[queue] && room)) state_q <= WRITE;
        else state_q <= DONE;
      end
      WRITE:
      if (write_ready_i) begin
        if (record) producer_q[queue] <= producer_q[queue] + 32'd1;
        state_q <= record || out_q.chain.count == '0 ? DONE : PIN;
      end
      PIN: if (pin_i.valid) state_q <= DONE;
      default: state_q <= IDLE;
    endcase
    if (rst_i) begin
      state_q <= IDLE;
      producer_q <= '0;
    end
  end

endmodule

`default_nettype wire
