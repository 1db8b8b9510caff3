// What must hold once everybody has gone, and when the process has ended.
import Core

extension World {
  /// What Limits makes of the settings: MAX_CONNECTIONS, or less; and pipes.
  static func limits(_ plan: Plan) -> Limits {
    var settings = Settings()
    settings.forwards = plan.forwards.map { _ in
      Forward(
        listenPort: 1, target: Target(host: [], kind: .address(IPAddress(ipv4: 1)), port: 1))
    }
    settings.workers = plan.workers
    settings.maxConnections = plan.maxConnections < 1_000 ? plan.maxConnections : nil
    return Limits(
      settings: settings, descriptors: plan.descriptors, cpus: 2,
      pipeQuotaPages: plan.pipeQuotaPages)
  }

  func judgeRest() {
    sim.reach(.settled)
    if openClients > 0 { sim.fail("\(openClients) connections outlive their clients") }
    // The control socket, with its spare, may have been opened late.
    let most = restingDescriptors + (plan.controlTakenUntil > 0 ? 2 : 0)
    if sim.kernel.open > most {
      sim.fail("\(sim.kernel.open) descriptors at rest, \(restingDescriptors) before")
    }
    if !sim.kernel.allocations.isEmpty { sim.fail("stashes are left") }
    if sim.kernel.pipePages > 0 { sim.fail("pipes are left") }
  }

  func judgeCounts(_ json: String) {
    let toTarget = streams.reduce(0) { $0 + ($1.isClient ? 0 : $1.written) }
    let toClient = streams.reduce(0) { $0 + ($1.isClient ? $1.written : 0) }
    let used = streams.count { !$0.isClient && ($0.readCount > 0 || $0.written > 0) }
    compare(json, "accepted", acceptedCount)
    compare(json, "to_target_bytes", toTarget)
    compare(json, "to_client_bytes", toClient)
    compare(json, "connections_open", 0)
    if sum(json, "established") < used { sim.fail("established counts \(used) too few") }
    let came = sum(json, "established") + sum(json, "failed") + sum(json, "absorbed")
    if came > acceptedCount { sim.fail("\(came) counted of \(acceptedCount) clients") }
  }

  private func compare(_ json: String, _ key: String, _ expected: Int) {
    let found = sum(json, key)
    if found != expected { sim.fail("\(key) is \(found) in the status, \(expected) in truth") }
  }

  /// Of all forwards.
  private func sum(_ json: String, _ key: String) -> Int {
    var total = 0
    var rest = json.utf8[...]
    let mark = Array("\"\(key)\":".utf8)
    while rest.count > mark.count {
      guard rest.starts(with: mark) else {
        rest = rest.dropFirst()
        continue
      }
      rest = rest.dropFirst(mark.count)
      let digits = rest.prefix { $0 >= 48 && $0 <= 57 }
      total += digits.reduce(0) { $0 * 10 + Int($1 - 48) }
    }
    return total
  }

  /// The process is gone, and its network with it.
  func judgeEnd() {
    if sim.exitCode != 0 { return sim.fail("exit code \(sim.exitCode ?? -1)") }
    if stoppedAt == .never { return sim.fail("exits without a signal") }
    if plan.stopsAt != nil { sim.reach(.stoppedMidway) }
    guard !mayCut, stoppedAgainAt == .never else { return }
    // What is closed before the workers know of the signal may be on its way still.
    let known = stoppedAfter + .milliseconds(10)
    for stream in streams where stream.isClosed && !stream.isReset && stream.closedAfter > known {
      guard stream.state == .established, let peer = stream.peer, !peer.isGone else { continue }
      if stream.written > stream.acknowledged {
        sim.fail("bytes for \(peer.id) are lost by the exit")
      }
    }
  }
}
