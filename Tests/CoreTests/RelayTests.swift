// The relay over thousands of schedules, each of which a seed makes again.
import Core
import Testing

@Suite struct RelayTests {
  private static let seedsPerRun: UInt64 = 500

  @Test(
    arguments: [Settings.TransferPolicy.automatic, .copy, .splice],
    stride(from: UInt64(0), to: 5_000, by: 500).map { $0 })
  func everyByteArrivesInOrderOrTheReaderIsToldByAReset(
    transfer: Settings.TransferPolicy, first: UInt64
  ) {
    for seed in first..<first + Self.seedsPerRun {
      var simulation = RelaySimulation(seed: seed, transfer: transfer)
      do { try simulation.run() } catch { Issue.record("seed \(seed), \(transfer): \(error)") }
    }
  }

  /// No memory for a call says nothing of the connection: whoever is there must not read an end.
  @Test(arguments: [End.client, .upstream])
  func anEndWhoseCallHasFailedIsResetAsWell(end: End) {
    let rules = FlowRules()
    var relay = Relay()
    var turn = Relay.Turn(rules)
    relay.fail(end, .error)
    for _ in 0..<10 {
      switch relay.next(rules, turn, everyByte: false) {
      case .move(let source, let step):
        relay.record(.wouldBlock, of: step, from: source, rules, &turn)
      case let step:
        return #expect(step == .close(resetClient: true, resetUpstream: true))
      }
    }
    Issue.record("no end")
  }

  /// The negative control: each mistake is found by some seed.
  @Test(arguments: Mutant.allCases)
  func aDriverWithAMistakeIsFoundOut(mutant: Mutant) {
    let isFound = (UInt64(0)..<5_000).contains { seed in
      var simulation = RelaySimulation(seed: seed, transfer: .automatic, mutant: mutant)
      do { try simulation.run() } catch { return true }
      return false
    }
    #expect(isFound)
  }
}
