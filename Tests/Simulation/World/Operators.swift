// Who asks the daemon how it does: over the control socket, on the metrics page, by signal.

final class Operators {
  private(set) var answers = 0

  func begin() {
    for _ in 0..<(sim.chance.one(in: 4) ? sim.chance.number(1...3) : 0) {
      let at = Schedule.start + .milliseconds(25 + sim.chance.scaled(0...5_000))
      switch sim.chance.number(0...3) {
      case 0: sim.at(at) { sim.kernel.signals.raise(10) }
      case 1: sim.at(at) { [self] in scrape() }
      case _:
        let line = sim.chance.pick(["status\n", "status-json\n", "health\n", "target\n", "what\n"])
        sim.at(at) { [self] in ask(line) { _ in } }
      }
    }
  }

  /// False when nobody listens.
  @discardableResult
  func ask(_ line: String, _ done: @escaping ([UInt8]) -> Void) -> Bool {
    guard let listener = sim.kernel.localListener else { return false }
    let talk = Talk()
    var answer: [UInt8] = []
    talk.heard = { answer += $0 }
    talk.ended = { [weak talk] in
      talk?.ended = {}
      done(answer)
      // The asker leaves then.
      sim.after(1_000) { if let talk, talk.number >= 0 { talk.arriveEnd() } }
    }
    talk.inbox = Array(line.utf8)
    listener.waiting.append(talk)
    listener.changed()
    return true
  }

  private func scrape() {
    guard let page = sim.kernel.listeners.first(where: { $0.isPage }) else { return }
    let talk = Talk()
    talk.inbox = Array("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
    talk.heard = { _ in sim.reach(.metricsPage) }
    talk.ended = { [weak talk] in
      talk?.ended = {}
      sim.after(1_000) { talk?.arriveEnd() }
    }
    page.pages.append(talk)
    page.changed()
  }

  /// What is counted must be what happened.
  func askAtRest(_ then: @escaping () -> Void) {
    let isAsked = ask("status-json\n") { [self] answer in
      answers += 1
      sim.reach(.statusAtRest)
      sim.world.judgeCounts(String(decoding: answer, as: UTF8.self))
      sim.after(.milliseconds(5), then)
    }
    if !isAsked { then() }
  }
}
