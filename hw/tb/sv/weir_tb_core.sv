// The frame path behind flat ports, a cycle at a time (cpp/core.cpp). `settings_i` is what registers hold.
`default_nettype none

module weir_tb_core
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
  import weir_facts_pkg::*;
  import weir_flow_pkg::*;
  import weir_dma_pkg::*;
  import weir_load_pkg::*;
  import weir_core_pkg::*;
#(
    parameter int unsigned BYTES = 16,
    parameter int unsigned QUEUES_LOG2 = 2,
    parameter int unsigned BUCKETS_LOG2 = 10,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                              clk_i,
    input  wire logic                              load_clk_i,  // the same, but where only the loader is at work
    input  wire logic [464*8-1:0]                  settings_i,
    input  wire logic [QUEUES*16*8-1:0]            host_i,
    input  wire logic [248*8-1:0]                  in_data_i,
    output logic      [272*8-1:0]                  out_data_o,
    output logic      [(weir_contract_pkg::COUNTER_COUNT+weir_contract_pkg::GUARDS_MAX)*64-1:0] counters_o
);

  typedef struct packed {
    logic [511:0]     load_data;
    logic [63:0]      table_length;
    logic [511:0]     read_data;
    logic [511:0]     data;
    logic [63:0]      time_of;
    logic [63:0]      frame_time;
    logic [63:0]      number;
    logic [63:0]      table_address;
    logic [31:0]      wire_length;
    logic [15:0]      pad;
    logic [15:0]      link;
    logic [31:0]      epoch;
    logic [4:0]       pad_0;
    logic             load_rst;     // tables outlive a reset of the frame path
    logic             load_fault;
    logic             load_valid;
    logic [7:0]       count;
    logic             load_ready;
    logic             activate;
    logic             hold;
    logic             load;
    logic             read_fault;
    logic             read_valid;
    logic             egress_ready;
    logic             store_ready;
    logic             time_valid;
    logic             over;
    logic             flush;
    logic             heartbeat;
    logic             lossy;
    logic             last;
    logic             valid;
    logic             rst;
  } in_t;

  typedef struct packed {
    logic [31:0]      pad_5;
    logic             pad_4;
    logic             load_write;
    logic             load_ask;
    logic             tables;
    logic             unknown;
    logic             changed;
    logic             refused;
    logic             loaded;
    logic [7:0]       load_state;
    logic [7:0]       refused_error;
    logic [7:0]       load_bytes;
    logic [15:0]      pad_6;
    logic [15:0]      refused_block;
    logic [31:0]      refused_offset;
    logic [31:0]      epoch;
    logic [31:0]      shadow;
    logic [31:0]      previous;
    logic [31:0]      table_crc;
    logic [127:0]     identity;
    logic [63:0]      load_address;
    logic [3:0][31:0] tx_consumer;
    logic [511:0]     egress_data;
    logic [55:0]      pad_3;
    logic [7:0]       read_bytes;
    logic [63:0]      read_address;
    logic [511:0]     store_data;
    logic [47:0]      pad_2;
    logic [7:0]       store_ending;
    logic [7:0]       store_bytes;
    logic [63:0]      store_address;
    logic [63:0]      egress_number;
    logic [63:0]      error_detail;
    logic [63:0]      now;
    logic [63:0]      number;
    logic [31:0]      error_code;
    logic [7:0]       egress_port;
    logic [7:0]       egress_bytes;
    logic [1:0]       pad_1;
    logic [1:0]       egress_kind;
    logic             error_valid;
    logic             egress_last;
    logic             egress_valid;
    logic             read_valid;
    logic             store_valid;
    logic             expired;
    logic             ended;
    logic             rest;
    logic             stalled;
    logic             waits;
    logic             taken;
    logic             ready;
  } out_t;

  // Of one queue.
  typedef struct packed {
    logic [63:0] tx_base;
    logic [63:0] status_base;
    logic [63:0] flow_record_base;
    logic [63:0] descriptor_base;
    logic [63:0] history_margin;
    logic [63:0] history_size;
    logic [63:0] history_base;
    logic [31:0] pad;
    logic [31:0] tx_entries;
    logic [31:0] flow_record_entries;
    logic [31:0] descriptor_entries;
  } queue_t;

  typedef struct packed {
    logic [QUEUES-1:0][575:0] queues;
    logic [31:0]      pad_1;
    logic [31:0]      window;
    logic [31:0]      pad_0;
    logic [7:0]       queue_mask;
    logic [15:0]      pad;
    logic [7:0]       fail_closed;
    logic [31:0]      watchdog_frames;
    logic [7:0]       source_waits;
    logic [7:0]       midstream;
    logic [7:0]       vlan_key;
    logic [7:0]       checksums;
    logic [63:0]      watchdog_time;
    logic [63:0]      report_interval;
    logic [63:0]      margin;
    logic [7:0][63:0] timeouts;
    logic [5:0][63:0] flow_hash;
    logic [7:0][15:0] tunnel_ports;
  } settings_t;

  typedef struct packed {
    logic [31:0] pad;
    logic [31:0] tx_producer;
    logic [31:0] flow_record_consumer;
    logic [31:0] descriptor_consumer;
  } doorbells_t;

  in_t in;
  out_t out;
  settings_t s;
  doorbells_t [QUEUES-1:0] doorbells;
  core_config_t config_in;
  queue_config_t [QUEUES-1:0] queues;
  queue_host_t [QUEUES-1:0] host;
  active_t active;
  queue_t q;
  store_t store;
  read_request_t read;
  egress_t egress;
  error_t error;
  logic [QUEUES-1:0][31:0] consumer;

  assign in = in_data_i;
  assign s = settings_i;
  assign doorbells = host_i;
  assign out_data_o = out;

  always_comb begin
    config_in = '{
        parse: '{checksums: s.checksums[0], tunnel_ports: s.tunnel_ports},
        follow: '{midstream: s.midstream[0], window: s.window, timeouts: s.timeouts},
        margin: s.margin,
        report_interval: s.report_interval,
        flow_hash: s.flow_hash,
        vlan_key: s.vlan_key[0],
        source_waits: s.source_waits[0],
        fail_closed: s.fail_closed[0],
        watchdog_frames: s.watchdog_frames,
        watchdog_time: s.watchdog_time,
        queue_mask: s.queue_mask[5:0]
    };
    q = '0;
    for (int unsigned n = 0; n < QUEUES; n++) begin
      q = s.queues[n];
      queues[n] = '{
          history_base: q.history_base,
          history_size: q.history_size,
          descriptor_base: q.descriptor_base,
          descriptor_entries: q.descriptor_entries,
          flow_record_base: q.flow_record_base,
          flow_record_entries: q.flow_record_entries,
          status_base: q.status_base
      };
      host[n] = '{
          history_margin: q.history_margin,
          tx_base: q.tx_base,
          tx_entries: q.tx_entries,
          descriptor_consumer: doorbells[n].descriptor_consumer,
          flow_record_consumer: doorbells[n].flow_record_consumer,
          tx_producer: doorbells[n].tx_producer
      };
    end
  end

  // ---- tables
  match_geometry_t [1:0] geometry;
  escape_sets_t [1:0] sets;
  logic [1:0][31:0] list_limit;
  logic [1:0] in_use, load_state;
  logic [6:0] load_bytes;
  table_write_t write;
  refusal_t refusal;
  tables_id_t tables;

  weir_loader loader (
      .clk_i         (load_clk_i),
      .rst_i         (in.load_rst),
      .address_i     (in.table_address),
      .length_i      (in.table_length),
      .load_i        (in.load),
      .activate_i    (in.activate),
      .epoch_i       (in.epoch),
      .state_o       (load_state),
      .ended_o       (out.loaded),
      .refusal_o     (refusal),
      .active_valid_o(active.valid),
      .active_bank_o (active.bank),
      .active_epoch_o(active.epoch),
      .shadow_o      (out.shadow),
      .previous_o    (out.previous),
      .tables_o      (tables),
      .changed_o     (out.changed),
      .unknown_o     (out.unknown),
      .ask_valid_o   (out.load_ask),
      .ask_ready_i   (in.load_ready),
      .ask_address_o (out.load_address),
      .ask_bytes_o   (load_bytes),
      .answer_valid_i(in.load_valid),
      .answer_fault_i(in.load_fault),
      .answer_data_i (in.load_data),
      .in_use_i      (in_use),
      .write_o       (write),
      .geometry_o    (geometry),
      .sets_o        (sets),
      .list_limit_o  (list_limit)
  );

  assign out.load_write = write.valid;
  assign out.tables = active.valid;
  assign out.epoch = active.epoch;
  assign out.load_state = 8'(load_state);
  assign out.load_bytes = 8'(load_bytes);
  assign out.refused = refusal.valid;
  assign out.refused_error = 8'(refusal.error);
  assign out.refused_block = refusal.block;
  assign out.refused_offset = refusal.offset;
  assign out.table_crc = tables.crc;
  assign out.identity = tables.identity;
  assign out.pad_4 = '0;
  assign out.pad_5 = '0;
  assign out.pad_6 = '0;

  logic [COUNTER_COUNT-1:0][63:0] counters;
  logic [GUARDS_MAX-1:0][63:0] guards;
  assign counters_o = {guards, counters};

  weir_core #(
      .BYTES         (BYTES),
      .QUEUES_LOG2   (QUEUES_LOG2),
      .BUCKETS_LOG2  (BUCKETS_LOG2),
      .PINS_LOG2     (16),
      .RESIDENTS_LOG2(18),
      .IN_FLIGHT_LOG2(16)
  ) dut (
      .clk_i           (clk_i),
      .rst_i           (in.rst),
      .config_i        (config_in),
      .queues_i        (queues),
      .host_i          (host),
      .active_i        (active),
      .geometry_i      (geometry),
      .sets_i          (sets),
      .list_limit_i    (list_limit),
      .heartbeat_i     (in.heartbeat),
      .flush_i         (in.flush),
      .over_i          (in.over),
      .time_valid_i    (in.time_valid),
      .time_i          (in.time_of),
      .valid_i         (in.valid),
      .ready_o         (out.ready),
      .last_i          (in.last),
      .count_i         (in.count[$clog2(BYTES):0]),
      .data_i          (in.data[BYTES*8-1:0]),
      .link_i          (in.link),
      .wire_length_i   (in.wire_length),
      .number_i        (in.number),
      .frame_time_i    (in.frame_time),
      .hold_i          (in.hold),
      .lossy_i         (in.lossy),
      .taken_o         (out.taken),
      .waits_o         (out.waits),
      .stalled_o       (out.stalled),
      .rest_o          (out.rest),
      .ended_o         (out.ended),
      .frame_number_o  (out.number),
      .frame_now_o     (out.now),
      .expired_o       (out.expired),
      .store_valid_o   (out.store_valid),
      .store_ready_i   (in.store_ready),
      .store_o         (store),
      .read_o          (read),
      .read_i          ('{valid: in.read_valid, fault: in.read_fault, data: in.read_data}),
      .tx_consumer_o   (consumer),
      .error_o         (error),
      .egress_o        (egress),
      .egress_ready_i  (in.egress_ready),
      .counters_o      (counters),
      .guard_counters_o(guards),
      .in_use_o        (in_use),
      .write_i         (write.valid && write.table_of < TO_GEOMETRY),
      .write_bank_i    (write.bank),
      .write_table_i   (write.table_of[3:0]),
      .write_length_i  (write.length_of),
      .write_part_i    (write.part),
      .write_address_i (write.address),
      .write_data_i    (write.data)
  );

  assign out.pad_1 = '0;
  assign out.pad_2 = '0;
  assign out.pad_3 = '0;
  assign out.store_address = store.address;
  assign out.store_bytes = 8'(store.bytes);
  assign out.store_ending = 8'(store.ending);
  assign out.store_data = store.data;
  assign out.read_valid = read.valid;
  assign out.read_address = read.address;
  assign out.read_bytes = 8'(read.bytes);
  assign out.egress_valid = egress.valid;
  assign out.egress_last = egress.last;
  assign out.egress_kind = egress.kind;
  assign out.egress_port = egress.port;
  assign out.egress_number = egress.number;
  assign out.egress_bytes = 8'(egress.bytes);
  assign out.egress_data = egress.data;
  assign out.error_valid = error.valid;
  assign out.error_code = error.code;
  assign out.error_detail = error.detail;
  assign out.tx_consumer = 128'(consumer);

endmodule

`default_nettype wire
