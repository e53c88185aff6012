// Room for a frame in the rings of its queue, before anything of it is remembered.
//
// Function: hw-sim/src/pipeline/room.rs: where its history record would go; chains that the record would bring to their end
// are handed over ahead; nothing that an unread descriptor refers to is overwritten. A source that can wait is told to,
// and then nothing was done. Latency: 4 cycles where nothing is handed over, some 20 for each record that the scrub pointer
// passes. Throughput: one request at a time. Back-pressure: the answer.
//
// Residents, the records of flows that lie in the ring, are kept in order in a memory beside it. Where that is full, the
// oldest is passed as if its time had come.
`default_nettype none

module weir_room
  import weir_contract_pkg::*;
  import weir_verdict_pkg::*;
  import weir_dma_pkg::*;
  import weir_core_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    parameter  int unsigned RESIDENTS_LOG2 = 12,  // records of flows that a ring holds, at most
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                       clk_i,
    input  wire logic                       rst_i,
    input  wire logic                       any_flow_record_full_i,
    input  wire queue_config_t [QUEUES-1:0] config_i,
    input  wire queue_host_t [QUEUES-1:0]   host_i,
    input  wire logic [QUEUES-1:0][31:0]    descriptors_free_i,
    input  wire room_request_t              request_i,
    output room_answer_t                    answer_o,
    input  wire recorded_t                  recorded_i,   // only while idle
    output pin_request_t                    pin_o,
    input  wire pin_answer_t                pin_i,
    output table_request_t                  table_o,
    input  wire table_answer_t              table_i,
    output verdict_request_t                verdict_o,
    input  wire verdict_answer_t            verdict_i,
    output life_request_t                   life_o,
    input  wire logic                       life_done_i
);

  typedef struct packed {
    logic [63:0] position;
    logic [31:0] slot;
    logic [31:0] generation_of;
  } resident_t;

  typedef enum logic [3:0] {
    IDLE, PLACE, PINNED, COUNT, COUNT_ASK, COUNT_PEEK, DECIDE, SCRUB, SCRUB_ASK, SCRUB_PEEK, SCRUB_LIFE,
    PINNED_AGAIN, ANSWER
  } state_e;

  state_e state_q;
  room_request_t request_q;
  logic [QUEUES-1:0][63:0] written_q;
  logic [QUEUES-1:0][RESIDENTS_LOG2:0] head_q, tail_q;
  logic [RESIDENTS_LOG2:0] at_q;
  logic [QUEUES_LOG2-1:0] queue, recorded_queue;
  logic [63:0] size, ring, end_of;
  // Of the request, each an addition behind the one before: they stand when the pins answer.
  logic [63:0] size_q, ring_q, margin_q, written_now_q, reach_q, start_q, last_q, ahead_q, target_q;
  logic fits, due, wanted, self_made_q, unpinned_q, lossy, waits_q, placed_q, sent_q;
  logic [31:0] handovers_q;
  resident_t resident;

  assign queue = request_q.queue_of[QUEUES_LOG2-1:0];
  assign recorded_queue = recorded_i.queue_of[QUEUES_LOG2-1:0];
  assign lossy = !request_q.may_wait;

  always_comb begin
    ring = config_i[queue].history_size;
    size = (64'(request_q.length_of) + 64'd127) & ~64'd63;
    fits = size <= ring;
    end_of = (written_now_q & (ring_q - 64'd1)) + size_q;  // within the ring, or behind it
    due = at_q != tail_q[queue] &&
          (resident.position < target_q ||
           (RESIDENTS_LOG2 + 1)'(tail_q[queue] - at_q) == (RESIDENTS_LOG2 + 1)'(1 << RESIDENTS_LOG2));
    wanted = verdict_i.state.chain_count != '0 &&
             resident.position >= verdict_i.state.chain_first;
  end

  weir_ram_1r1w #(
      .ADDRESS_BITS(QUEUES_LOG2 + RESIDENTS_LOG2),
      .DATA_BITS   ($bits(resident_t))
  ) residents (
      .clk_i          (clk_i),
      .write_i        (recorded_i.valid && recorded_i.flow),
      .write_address_i({recorded_queue, tail_q[recorded_queue][RESIDENTS_LOG2-1:0]}),
      .write_data_i   ({recorded_i.start, recorded_i.slot, recorded_i.generation_of}),
      .read_address_i ({queue, at_q[RESIDENTS_LOG2-1:0]}),
      .read_data_o    (resident)
  );

  always_comb begin
    pin_o = '0;
    table_o = '0;
    verdict_o = '0;
    life_o = '0;
    answer_o = '0;
    unique case (state_q)
      PINNED, PINNED_AGAIN: begin
        pin_o.valid = !sent_q;
        pin_o.queue_of = request_q.queue_of;
      end
      COUNT_ASK, SCRUB_ASK: begin
        table_o.valid = !sent_q;
        table_o.op = TABLE_NAME;
        table_o.slot = resident.slot;
        table_o.generation_of = resident.generation_of;
        table_o.now = request_q.now;
      end
      COUNT_PEEK, SCRUB_PEEK: begin
        verdict_o.valid = !sent_q;
        verdict_o.slot = resident.slot;
        verdict_o.beat.op = VERDICT_HANDOVER;
        verdict_o.beat.stale = 1'b1;
      end
      SCRUB_LIFE: begin
        life_o.valid = !sent_q;
        // A chain without a descriptor to name it becomes a hole.
        life_o.op = descriptors_free_i[queue] < 32'd2 ? LIFE_LOSE : LIFE_HANDOVER;
        life_o.slot = resident.slot;
      end
      ANSWER:
      answer_o = '{valid: 1'b1, waits: waits_q, placed: placed_q, start: start_q, last: last_q};
      default: ;
    endcase
  end

  always_ff @(posedge clk_i) begin
    ring_q <= ring;
    margin_q <= host_i[queue].history_margin == '0 ? ring >> 2 : host_i[queue].history_margin;
    size_q <= size;
    written_now_q <= written_q[queue];
    // A record does not wrap: what does not fit into the rest of the ring begins at its start.
    start_q <= end_of > ring_q ? (written_now_q & ~(ring_q - 64'd1)) + ring_q : written_now_q;
    reach_q <= size_q + margin_q;
    last_q <= start_q + size_q;
    ahead_q <= start_q + reach_q;
    target_q <= ahead_q > ring_q ? ahead_q - ring_q : '0;
  end

  always_ff @(posedge clk_i) begin
    sent_q <= 1'b1;
    unique case (state_q)
      IDLE: begin
        request_q <= request_i;
        if (request_i.valid) state_q <= PLACE;
      end
      PLACE: begin
        waits_q <= 1'b0;
        placed_q <= fits;
        handovers_q <= '0;
        self_made_q <= 1'b0;
        at_q <= head_q[queue];
        sent_q <= 1'b0;
        state_q <= PINNED;
        if (!lossy && any_flow_record_full_i) begin
          waits_q <= 1'b1;
          state_q <= ANSWER;
        end else if (!fits) begin
          waits_q <= !lossy && descriptors_free_i[queue] == '0;
          state_q <= ANSWER;
        end
      end
      PINNED:
      if (pin_i.valid) begin
        unpinned_q <= !pin_i.pinned || pin_i.lowest + ring_q >= last_q;
        if (!lossy) begin
          state_q <= COUNT;
        end else if (pin_i.pinned && pin_i.lowest + ring_q < last_q) begin
          placed_q <= 1'b0;
          state_q  <= ANSWER;
        end else begin
          state_q <= SCRUB;
        end
      end
      // How many chains would have to be handed over?
      COUNT: begin
        sent_q  <= 1'b0;
        state_q <= due ? COUNT_ASK : DECIDE;
      end
      COUNT_ASK:
      if (table_i.valid) begin
        sent_q <= 1'b0;
        if (table_i.live) begin
          state_q <= COUNT_PEEK;
        end else begin
          at_q <= at_q + (RESIDENTS_LOG2 + 1)'(1);
          state_q <= DECIDE;
        end
      end
      COUNT_PEEK:
      if (verdict_i.valid) begin
        handovers_q <= handovers_q + 32'(wanted);
        self_made_q <= self_made_q || (wanted && resident.position + ring_q < last_q);
        sent_q <= 1'b0;
        at_q <= at_q + (RESIDENTS_LOG2 + 1)'(1);
        state_q <= DECIDE;
      end
      DECIDE: begin
        // The next resident is read while this state waits for it.
        if (sent_q) begin
          if (due) begin
            sent_q  <= 1'b0;
            state_q <= COUNT_ASK;
          end else begin
            sent_q <= 1'b0;
            at_q <= head_q[queue];
            if (descriptors_free_i[queue] <= handovers_q) begin
              waits_q <= 1'b1;
              state_q <= descriptors_free_i[queue] == config_i[queue].descriptor_entries ? SCRUB : ANSWER;
            end else if (!unpinned_q) begin
              waits_q <= 1'b1;
              state_q <= ANSWER;
            end else begin
              waits_q <= self_made_q;
              state_q <= SCRUB;
            end
          end
        end
      end
      SCRUB: begin
        if (sent_q) begin
          sent_q <= 1'b0;
          if (due) begin
            state_q <= SCRUB_ASK;
          end else begin
            head_q[queue] <= at_q;
            state_q <= lossy ? PINNED_AGAIN : ANSWER;
          end
        end
      end
      SCRUB_ASK:
      if (table_i.valid) begin
        sent_q <= 1'b0;
        if (table_i.live) begin
          state_q <= SCRUB_PEEK;
        end else begin
          at_q <= at_q + (RESIDENTS_LOG2 + 1)'(1);
          state_q <= SCRUB;
        end
      end
      SCRUB_PEEK:
      if (verdict_i.valid) begin
        sent_q <= 1'b0;
        if (!wanted) begin
          at_q <= at_q + (RESIDENTS_LOG2 + 1)'(1);
          state_q <= SCRUB;
        end else if (!lossy && descriptors_free_i[queue] < 32'd2) begin
          head_q[queue] <= at_q;
          state_q <= ANSWER;
        end else begin
          state_q <= SCRUB_LIFE;
        end
      end
      SCRUB_LIFE:
      if (life_done_i) begin
        sent_q <= 1'b0;
        at_q <= at_q + (RESIDENTS_LOG2 + 1)'(1);
        state_q <= SCRUB;
      end
      // What was just handed over may lie where the record goes.
      PINNED_AGAIN:
      if (pin_i.valid) begin
        placed_q <= !pin_i.pinned || pin_i.lowest + ring_q >= last_q;
        state_q  <= ANSWER;
      end
      default: state_q <= IDLE;
    endcase
    if (recorded_i.valid) begin
      written_q[recorded_queue] <= recorded_i.last;
      if (recorded_i.flow) begin
        tail_q[recorded_queue] <= tail_q[recorded_queue] + (RESIDENTS_LOG2 + 1)'(1);
      end
    end
    if (rst_i) begin
      state_q <= IDLE;
      written_q <= '0;
      head_q <= '0;
      tail_q <= '0;
    end
  end

`ifndef SYNTHESIS
  logic [1:0] placing_q;
  always_ff @(posedge clk_i) begin
    placing_q <= {placing_q[0], state_q == PLACE};
    if (!rst_i && state_q == PINNED && pin_i.valid) assert (placing_q == '0);
  end
`endif

endmodule

`default_nettype wire
