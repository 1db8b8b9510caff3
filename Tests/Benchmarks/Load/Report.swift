// What came of a run, as one line of JSON.

struct Errors {
  /// Refused, or not answered within the patience of the opening.
  var connect = 0
  /// Ended by a reset.
  var reset = 0
  /// Ended in order but before its time, or silent to the end.
  var closed = 0
  /// Other bytes than those that had to come, or fewer of a stream than were sent.
  var wrong = 0
}

/// All that was moved, the warm-up and the end included: what to divide by when something is
/// measured over the whole run, such as a forwarder's CPU time.
struct Totals {
  var connections = 0
  var operations = 0
  var bytes = 0
}

struct Figures: ~Copyable {
  var seconds = 0.0
  var bytes = 0
  var operations = 0
  var errors = Errors()
  var totals = Totals()
  var latencies = Histogram()

  /// The JSON, of one line.
  func line(for order: Order) -> String {
    let rate = order.load.isBulk ? Double(bytes) / 1e6 : Double(operations)
    let errors = """
      {"connect":\(errors.connect),"reset":\(errors.reset),"closed":\(errors.closed),\
      "wrong":\(errors.wrong)}
      """
    let total = """
      {"connections":\(totals.connections),"operations":\(totals.operations),\
      "bytes":\(totals.bytes)}
      """
    return """
      {"case":"\(order.load.rawValue)","connections":\(order.connections),"idle":\(order.idle),\
      "size":\(order.size),"seconds":\(rounded(seconds, to: 1e6)),"bytes":\(bytes),\
      "operations":\(operations),"per_second":\(rounded(rate / max(seconds, 1e-9), to: 10)),\
      "errors":\(errors),"latency_us":\(latency(order)),"total":\(total)}

      """
  }

  private func latency(_ order: Order) -> String {
    guard !order.load.isBulk, !latencies.isEmpty else { return "null" }
    func microseconds(_ nanoseconds: Double) -> Double { rounded(nanoseconds / 1e3, to: 1e3) }
    return """
      {"p50":\(microseconds(latencies.percentile(0.5))),\
      "p90":\(microseconds(latencies.percentile(0.9))),\
      "p99":\(microseconds(latencies.percentile(0.99))),\
      "max":\(microseconds(Double(latencies.maximum)))}
      """
  }
}

private func rounded(_ value: Double, to parts: Double) -> Double {
  (value * parts).rounded() / parts
}
