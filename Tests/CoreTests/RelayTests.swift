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

  /// One that has vanished may be back while its kernel still has bytes to send: closed in order,
  /// what it got would look like the whole.
  @Test(arguments: [End.client, .upstream], [EndFailure.vanished, .error, .reset])
  func bothEndsAreResetWhicheverFailed(end: End, failure: EndFailure) {
    let rules = FlowRules()
    var (relay, turn) = (Relay(), Relay.Turn(rules))
    relay.fail(end, failure)
    while case .move(let source, let step) = relay.next(rules, turn, everyByte: false) {
      relay.record(.wouldBlock, of: step, from: source, rules, &turn)
    }
    #expect(relay.next(rules, turn, everyByte: false) == .close(resets: true))
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
