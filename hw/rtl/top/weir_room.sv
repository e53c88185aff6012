// Room for a frame in the rings of its queue, before anything of it is remembered.
//
// Function: hw-sim/src/pipeline/room.rs: where its history record would go; chains that the record would bring to their end
// are handed over ahead; nothing that an unread descriptor refers to is overwritten. A source that can wait is told to,
// and then nothing was done. Latency: 6 cycles where there is room for sure, some 20 for each record that the scrub pointer
// passes. Throughput: one request at a time. Back-pressure: the answer.
//
// The frame ahead may be looked up meanwhile. While entries end there nothing is asked here (hold_i, quiet_o), for both write
// descriptors, and the asker asks again; and records are passed only once it has left, for both ask the table.
//
// Frames ahead may have no fate yet. There is room for sure if there is whatever they do: each takes a descriptor, and twice
// the bytes of its record (the pad at the ring's end is shorter than the record that did not fit); no record is due to be
// passed by then, so neither is any chain's, and what a descriptor of theirs pins lies behind what is overwritten. Records
// that no chain holds any longer are passed before that is asked: none of them ever belongs to a chain again. Otherwise the
// answer is looked for when the frames have left (drained_i). Where a record goes is asked again in frame order (place_o).
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
    input  wire logic                       drained_i,    // no frame is ahead
    input  wire logic                       hold_i,       // ask nothing
    input  wire logic                       lookup_busy_i,  // a frame is looked up
    output logic                            quiet_o,      // nothing is asked, nor while hold_i
    input  wire logic [63:0]                ahead_i,      // bytes of the records of the frames ahead, four at most
    input  wire place_request_t             place_i,
    output record_place_t                          place_o,      // at once
    input  wire recorded_t                  recorded_i,
    output pin_request_t                    pin_o,        // until taken
    input  wire logic                       pin_ready_i,
    input  wire pin_answer_t                pin_i,
    output table_request_t                  table_o,
    input  wire table_answer_t              table_i,
    output verdict_request_t                verdict_o,    // until granted
    input  wire logic                       verdict_ready_i,
    input  wire verdict_answer_t            verdict_i,
    output life_request_t                   life_o,
    input  wire logic                       life_done_i
);

  typedef struct packed {
    logic [63:0] position;
    logic [31:0] slot;
    logic [31:0] generation_of;
  } resident_t;

  typedef enum logic [4:0] {
    IDLE, PLACE, PINNED, SKIP, SKIP_ASK, SKIP_PEEK, COUNT, COUNT_ASK, COUNT_PEEK, DECIDE, SCRUB, SCRUB_ASK, SCRUB_PEEK, SCRUB_LIFE,
    PINNED_AGAIN, ANSWER
  } state_e;

  state_e state_q;
  room_request_t request_q;
  logic [QUEUES-1:0][63:0] written_q;
  logic [QUEUES-1:0][RESIDENTS_LOG2:0] head_q, tail_q;
  logic [RESIDENTS_LOG2:0] at_q;
  logic [QUEUES_LOG2-1:0] queue, recorded_queue;
  logic [63:0] size, left, start, last, ring, margin, target;
  logic [63:0] farthest, reach, place_left, place_size;
  logic [QUEUES_LOG2-1:0] place_queue;
  logic fits, due, wanted, self_made_q, unpinned_q, lossy, waits_q, placed_q, sent_q;
  logic sure, near, exact_q, again_q, skip_q;
  logic [31:0] handovers_q;
  resident_t resident;

  assign quiet_o = state_q inside {IDLE, PLACE};
  assign queue = request_q.queue_of[QUEUES_LOG2-1:0];
  assign recorded_queue = recorded_i.queue_of[QUEUES_LOG2-1:0];
  assign lossy = !request_q.may_wait;

  always_comb begin
    ring = config_i[queue].history_size;
    margin = host_i[queue].history_margin == '0 ? ring >> 2 : host_i[queue].history_margin;
    size = (64'(request_q.length_of) + 64'd127) & ~64'd63;
    fits = size <= ring;
    left = ring - (written_q[queue] & (ring - 64'd1));
    start = size > left ? written_q[queue] + left : written_q[queue];
    last = start + size;
    target = last + margin > ring ? last + margin - ring : '0;
    due = at_q != tail_q[queue] &&
          (resident.position < target ||
           (RESIDENTS_LOG2 + 1)'(tail_q[queue] - at_q) == (RESIDENTS_LOG2 + 1)'(1 << RESIDENTS_LOG2));
    wanted = verdict_i.state.chain_count != '0 &&
             resident.position >= verdict_i.state.chain_first;
  end

  // Whatever the frames ahead do, and wherever this one's record comes to lie.
  always_comb begin
    farthest = written_q[queue] + ((size + ahead_i) << 1);
    reach = farthest + margin > ring ? farthest + margin - ring : '0;
    near = at_q != tail_q[queue] && resident.position < reach;
    sure = (lossy || descriptors_free_i[queue] > 32'd4) &&
           written_q[queue] >= reach && !near &&
           32'((RESIDENTS_LOG2 + 1)'(tail_q[queue] - at_q)) + 32'd5 < (1 << RESIDENTS_LOG2) &&
           (!pin_i.pinned || pin_i.lowest + ring >= farthest);
  end

  // ---- where a record goes: it does not wrap
  assign place_queue = place_i.queue_of[QUEUES_LOG2-1:0];
  always_comb begin
    place_size = (64'(place_i.length_of) + 64'd127) & ~64'd63;
    place_left = config_i[place_queue].history_size -
                 (written_q[place_queue] & (config_i[place_queue].history_size - 64'd1));
    place_o.start = place_size > place_left ? written_q[place_queue] + place_left : written_q[place_queue];
    place_o.last = place_o.start + place_size;
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
      COUNT_ASK, SCRUB_ASK, SKIP_ASK: begin
        table_o.valid = !sent_q;
        table_o.op = TABLE_NAME;
        table_o.slot = resident.slot;
        table_o.generation_of = resident.generation_of;
        table_o.now = request_q.now;
      end
      COUNT_PEEK, SCRUB_PEEK, SKIP_PEEK: begin
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
      answer_o = '{valid: 1'b1, waits: waits_q, placed: placed_q};
      default: ;
    endcase
  end

  always_ff @(posedge clk_i) begin
    sent_q <= 1'b1;
    unique case (state_q)
      IDLE: begin
        request_q <= request_i;
        again_q <= 1'b0;
        skip_q <= 1'b0;
        if (request_i.valid) state_q <= PLACE;
      end
      PLACE: begin
        waits_q <= 1'b0;
        placed_q <= fits;
        handovers_q <= '0;
        self_made_q <= 1'b0;
        at_q <= head_q[queue];
        sent_q <= 1'b0;
        exact_q <= drained_i;
        state_q <= PINNED;
        if (hold_i || (skip_q && lookup_busy_i)) begin
          state_q <= PLACE;
        end else if ((again_q || !fits || (!lossy && any_flow_record_full_i)) && !drained_i) begin
          state_q <= PLACE;
        end else if (!lossy && any_flow_record_full_i) begin
          waits_q <= 1'b1;
          state_q <= ANSWER;
        end else if (!fits) begin
          waits_q <= !lossy && descriptors_free_i[queue] == '0;
          state_q <= ANSWER;
        end
      end
      PINNED:
      if (!sent_q && !pin_ready_i) begin
        sent_q <= 1'b0;
      end else if (pin_i.valid && !pin_i.push && sure) begin
        placed_q <= 1'b1;
        state_q  <= ANSWER;
      end else if (pin_i.valid && !pin_i.push && !exact_q) begin
        again_q <= !near;
        skip_q <= near;
        state_q <= near && !lookup_busy_i ? SKIP_ASK : PLACE;
        sent_q <= 1'b0;
      end else if (pin_i.valid && !pin_i.push) begin
        unpinned_q <= !pin_i.pinned || pin_i.lowest + ring >= last;
        if (!lossy) begin
          state_q <= COUNT;
        end else if (pin_i.pinned && pin_i.lowest + ring < last) begin
          placed_q <= 1'b0;
          state_q  <= ANSWER;
        end else begin
          state_q <= SCRUB;
        end
      end
      // Does the next record belong to a chain still?
      SKIP:
      if (sent_q) begin
        sent_q  <= 1'b0;
        state_q <= near ? SKIP_ASK : PINNED;
      end
      SKIP_ASK:
      if (table_i.valid) begin
        sent_q <= 1'b0;
        if (table_i.live) begin
          state_q <= SKIP_PEEK;
        end else begin
          at_q <= at_q + (RESIDENTS_LOG2 + 1)'(1);
          head_q[queue] <= at_q + (RESIDENTS_LOG2 + 1)'(1);
          state_q <= SKIP;
        end
      end
      SKIP_PEEK:
      if (!sent_q && !verdict_ready_i) begin
        sent_q <= 1'b0;
      end else if (verdict_i.valid) begin
        sent_q <= 1'b0;
        again_q <= wanted;
        state_q <= PLACE;
        if (!wanted) begin
          at_q <= at_q + (RESIDENTS_LOG2 + 1)'(1);
          head_q[queue] <= at_q + (RESIDENTS_LOG2 + 1)'(1);
          state_q <= SKIP;
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
        self_made_q <= self_made_q || (wanted && resident.position + ring < last);
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
      if (!sent_q && !pin_ready_i) begin
        sent_q <= 1'b0;
      end else if (pin_i.valid && !pin_i.push) begin
        placed_q <= !pin_i.pinned || pin_i.lowest + ring >= last;
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

endmodule

`default_nettype wire
