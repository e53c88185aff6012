// Writes history records, descriptors and flow records to host memory.
//
// Function: for each item the stores of hw-sim/src/queue.rs, in the same order: for a record the reservation, the pad at
// the ring's end, header, frame and what is complete; for the others the entry and its producer index. Latency: 1 cycle to
// the first store. Throughput: one store per cycle; a record takes its frame's beats and 3 (4 with a pad), a descriptor 2,
// a flow record 3, and each item one cycle between. Back-pressure: by store_ready_i, and item_ready_o, beat_ready_o.
//
// Room in the rings is the business of who sends the items.
`default_nettype none

module weir_queue_writer
  import weir_contract_pkg::*;
  import weir_dma_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,  // log2 of the queues
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                       clk_i,
    input  wire logic                       rst_i,
    input  wire queue_config_t [QUEUES-1:0] config_i,       // constant while enabled
    input  wire logic                       item_valid_i,
    output logic                            item_ready_o,
    input  wire write_kind_e                item_kind_i,
    input  wire logic [QUEUES_LOG2-1:0]     item_queue_i,
    input  wire logic [1023:0]              item_body_i,    // history_header_t, descriptor_t or flow_record_t
    input  wire logic [19:0]                item_length_i,  // record: bytes of the frame
    input  wire logic                       beat_valid_i,   // the frame of a record, 64 bytes a beat
    output logic                            beat_ready_o,
    input  wire logic [511:0]               beat_data_i,
    output logic                            store_valid_o,
    input  wire logic                       store_ready_i,
    output store_t                          store_o
);

  typedef enum logic [3:0] {
    IDLE, RESERVE, PAD, HEADER, DATA, COMPLETE, ENTRY, ENTRY_REST, PRODUCER
  } state_e;

  state_e state_q;
  write_kind_e kind_q;
  logic [QUEUES_LOG2-1:0] queue_q;
  logic [1023:0] body_q;
  logic [19:0] length_q, left_q;
  logic [63:0] at_q;
  // By queue: positions and producers since set-up.
  logic [QUEUES-1:0][63:0] written_q, reserved_q;
  logic [QUEUES-1:0][31:0] descriptors_q, flow_records_q;

  queue_config_t c;
  logic [63:0] mask, size, left, start, last;
  history_header_t header, pad, record_header;
  descriptor_t descriptor;
  flow_record_t flow_record;
  logic taken, final_beat;

  assign c = config_i[queue_q];
  assign mask = c.history_size - 64'd1;

  // ---- where a record goes: it does not wrap
  always_comb begin
    size = (64'(length_q) + 64'd127) & ~64'd63;
    left = c.history_size - (written_q[queue_q] & mask);
    start = size > left ? written_q[queue_q] + left : written_q[queue_q];
    last = start + size;
    header = body_q[511:0];
    header.position = start;
    header.kind = 8'(HISTORY_KIND_FRAME);
    header.captured_length = 32'(length_q);
    pad = '0;
    pad.position = written_q[queue_q];
    pad.previous = POSITION_NONE;
    pad.flow_index = FLOW_NONE;
    pad.kind = 8'(HISTORY_KIND_PAD);
    record_header = sealed(state_q == PAD ? pad : header);
    descriptor = body_q[511:0];
    descriptor.sequence_ = descriptors_q[queue_q];
    flow_record = body_q;
    flow_record.sequence_ = flow_records_q[queue_q];
    final_beat = left_q <= 20'd64;
  end

  // ---- the store
  always_comb begin
    store_o = '0;
    store_valid_o = 1'b1;
    unique case (state_q)
      RESERVE: begin
        store_o.address = c.status_base + STATUS_RESERVED;
        store_o.bytes = 7'd8;
        store_o.data = 512'(last);
      end
      PAD: begin
        store_o.address = c.history_base + (written_q[queue_q] & mask);
        store_o.bytes = 7'd64;
        store_o.data = record_header;
      end
      HEADER: begin
        store_o.address = c.history_base + (start & mask);
        store_o.bytes = 7'd64;
        store_o.data = record_header;
      end
      DATA: begin
        // A frame without bytes has a beat, but no store.
        store_valid_o = beat_valid_i && left_q != '0;
        store_o.address = at_q;
        store_o.bytes = final_beat ? left_q[6:0] : 7'd64;
        for (int unsigned b = 0; b < 64; b++) begin
          if (20'(b) < left_q) store_o.data[b*8+:8] = beat_data_i[b*8+:8];
        end
      end
      COMPLETE: begin
        store_o.ending = 1'b1;
        store_o.address = c.status_base + STATUS_WRITTEN;
        store_o.bytes = 7'd8;
        store_o.data = 512'(last);
      end
      ENTRY: begin
        store_o.bytes = 7'd64;
        if (kind_q == WRITE_DESCRIPTOR) begin
          store_o.address = c.descriptor_base +
                            64'({descriptors_q[queue_q] & (c.descriptor_entries - 32'd1), 6'd0});
          store_o.data = descriptor;
        end else begin
          store_o.address = c.flow_record_base +
                            64'({flow_records_q[queue_q] & (c.flow_record_entries - 32'd1), 7'd0});
          store_o.data = flow_record[511:0];
        end
      end
      ENTRY_REST: begin
        store_o.bytes = 7'd64;
        store_o.address = c.flow_record_base +
                          64'({flow_records_q[queue_q] & (c.flow_record_entries - 32'd1), 7'd64});
        store_o.data = flow_record[1023:512];
      end
      PRODUCER: begin
        store_o.ending = 1'b1;
        store_o.bytes  = 7'd4;
        if (kind_q == WRITE_DESCRIPTOR) begin
          store_o.address = c.status_base + STATUS_DESCRIPTORS;
          store_o.data = {480'd0, descriptors_q[queue_q] + 32'd1};
        end else if (kind_q == WRITE_TX_CONSUMER) begin
          store_o.address = c.status_base + STATUS_TX_CONSUMER;
          store_o.data = {480'd0, body_q[31:0]};
        end else begin
          store_o.address = c.status_base + STATUS_FLOW_RECORDS;
          store_o.data = {480'd0, flow_records_q[queue_q] + 32'd1};
        end
      end
      default: store_valid_o = 1'b0;
    endcase
  end

  assign taken = store_valid_o && store_ready_i;
  assign item_ready_o = state_q == IDLE;
  assign beat_ready_o = state_q == DATA && (store_ready_i || left_q == '0);

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      IDLE: begin
        kind_q <= item_kind_i;
        queue_q <= item_queue_i;
        body_q <= item_body_i;
        length_q <= item_length_i;
        left_q <= item_length_i;
        if (item_valid_i) begin
          unique case (item_kind_i)
            WRITE_RECORD: state_q <= RESERVE;
            WRITE_TX_CONSUMER: state_q <= PRODUCER;
            default: state_q <= ENTRY;
          endcase
        end
      end
      RESERVE:
      if (taken) begin
        reserved_q[queue_q] <= last;
        state_q <= start != written_q[queue_q] ? PAD : HEADER;
      end
      PAD: if (taken) state_q <= HEADER;
      HEADER:
      if (taken) begin
        at_q <= c.history_base + (start & mask) + 64'd64;
        state_q <= DATA;
      end
      DATA:
      if (beat_valid_i && beat_ready_o) begin
        at_q <= at_q + 64'd64;
        left_q <= final_beat ? '0 : left_q - 20'd64;
        if (final_beat) state_q <= COMPLETE;
      end
      COMPLETE:
      if (taken) begin
        written_q[queue_q] <= last;
        state_q <= IDLE;
      end
      ENTRY: if (taken) state_q <= kind_q == WRITE_DESCRIPTOR ? PRODUCER : ENTRY_REST;
      ENTRY_REST: if (taken) state_q <= PRODUCER;
      default:
      if (taken) begin
        if (kind_q == WRITE_DESCRIPTOR) descriptors_q[queue_q] <= descriptors_q[queue_q] + 32'd1;
        else if (kind_q == WRITE_FLOW_RECORD) flow_records_q[queue_q] <= flow_records_q[queue_q] + 32'd1;
        state_q <= IDLE;
      end
    endcase
    if (rst_i) begin
      state_q <= IDLE;
      written_q <= '0;
      reserved_q <= '0;
      descriptors_q <= '0;
      flow_records_q <= '0;
    end
  end

`ifndef SYNTHESIS
  // Each record reserves what no record before it did.
  always_ff @(posedge clk_i) if (!rst_i && state_q == RESERVE) assert (last > reserved_q[queue_q]);
`endif

endmodule

`default_nettype wire
