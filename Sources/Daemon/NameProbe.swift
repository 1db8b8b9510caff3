// One lookup for `sidecar probe`, performed to its end before anything else, with a line for each
// message that comes.
import Core
import Linux

final class NameProbe {
  private var files: NameFiles
  private var budget = QueryBudget()
  private let poller: Poller
  private var exchanges: [NameExchange?] = Array(repeating: nil, count: Lookup.slots)

  init(_ files: NameFiles) throws(Errno) {
    self.files = files
    poller = try Poller()
  }

  /// The addresses found, IPv6 first; none when the name leads nowhere, which is then reported.
  func run(
    _ name: [UInt8], isAbsolute: Bool, limit: Nanoseconds, _ report: inout ProbeReport
  ) -> [IPAddress] {
    let candidates = files.servers.conf.candidates(for: name, isAbsolute: isAbsolute)
    var lookup = Lookup(
      candidates: candidates, servers: &files.servers, limit: limit, now: .now)
    while true {
      let now = Instant.now
      switch lookup.next(
        now: now, servers: &files.servers, budget: &budget, random: { unguessableBits() })
      {
      case .ask(let slot, let transport, let again):
        ask(&lookup, slot, transport, again, now)
      case .wait(let until):
        let rest = max(0, (until - .now).wholeMilliseconds)
        let count = poller.wait(milliseconds: Int32(clamping: rest))
        for index in 0..<count { proceed(&lookup, Int(poller.event(index).token), &report) }
      case .done: return conclude(lookup, &report)
      }
    }
  }

  private func ask(
    _ lookup: inout Lookup, _ slot: Int, _ transport: Lookup.Transport, _ again: Bool,
    _ now: Instant
  ) {
    do throws(Errno) {
      if again, let exchange = exchanges[slot] {
        return try exchange.sendAgain(lookup.message(of: slot))
      }
      let exchange = try NameExchange(
        server: lookup.server(of: slot), transport, lookup.message(of: slot))
      exchanges[slot] = exchange
      try watch(
        exchange.socket.number, with: poller.number, for: .changes, token: UInt64(slot))
    } catch {
      exchanges[slot] = nil
      lookup.fail(slot, .unreachable, now: now, servers: &files.servers)
    }
  }

  private func proceed(_ lookup: inout Lookup, _ slot: Int, _ report: inout ProbeReport) {
    guard let exchange = exchanges[slot] else { return }
    while true {
      switch exchange.proceed() {
      case .wait: return
      case .failed(let word):
        exchanges[slot] = nil
        return lookup.fail(slot, word, now: .now, servers: &files.servers)
      case .message(let message):
        let now = Instant.now
        let reply = lookup.receive(message, slot: slot, now: now, servers: &files.servers)
        report.name(
          server: lookup.server(of: slot), family: lookup.family(of: slot), reply: reply,
          after: now - lookup.askedAt(slot))
      }
    }
  }

  private func conclude(_ lookup: Lookup, _ report: inout ProbeReport) -> [IPAddress] {
    var addresses: [IPAddress] = []
    var hasFailed = false
    for family in Family.allCases {
      switch lookup.finding(of: family) {
      case .addresses(let found, _): addresses += found
      case .failed: hasFailed = true
      case .noAddress, .noName, nil: break
      }
    }
    if addresses.isEmpty {
      let failure: Failure =
        hasFailed
        ? .nameServersFailed : lookup.someNameExists ? .nameWithoutAddress : .nameNotFound
      report.nameFailed(failure, words: lookup.words)
    }
    return addresses
  }
}
