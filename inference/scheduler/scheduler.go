// Package scheduler makes what the sampler starts from: the noise levels of a run and the noise itself, both
// exactly as the reference makes them.
package scheduler

import (
	"encoding/json"
	"fmt"
	"math"
)

// TrainTimesteps scales a noise level σ to the timestep that the transformer is given.
const TrainTimesteps = 1000

// CheckConfig reads a scheduler_config.json and refuses schedules other than the flow-matching one with
// resolution-dependent exponential shift that FLUX.2 [klein] uses.
func CheckConfig(data []byte) error {
	cfg := struct {
		Class             string   `json:"_class_name"`
		TrainTimesteps    float64  `json:"num_train_timesteps"`
		DynamicShifting   bool     `json:"use_dynamic_shifting"`
		TimeShiftType     string   `json:"time_shift_type"`
		ShiftTerminal     *float64 `json:"shift_terminal"`
		InvertSigmas      bool     `json:"invert_sigmas"`
		KarrasSigmas      bool     `json:"use_karras_sigmas"`
		ExponentialSigmas bool     `json:"use_exponential_sigmas"`
		BetaSigmas        bool     `json:"use_beta_sigmas"`
		Stochastic        bool     `json:"stochastic_sampling"`
	}{Class: className, TrainTimesteps: TrainTimesteps, TimeShiftType: "exponential"}
	if err := json.Unmarshal(data, &cfg); err != nil {
		return fmt.Errorf("scheduler: config: %w", err)
	}
	for _, row := range []struct {
		bad  bool
		what string
	}{
		{cfg.Class != className, fmt.Sprintf("_class_name is %q, want %s", cfg.Class, className)},
		{cfg.TrainTimesteps != TrainTimesteps, fmt.Sprintf("num_train_timesteps is %v, want %d", cfg.TrainTimesteps, TrainTimesteps)},
		{!cfg.DynamicShifting, "use_dynamic_shifting is false, want true"},
		{cfg.TimeShiftType != "exponential", fmt.Sprintf("time_shift_type is %q, want exponential", cfg.TimeShiftType)},
		{cfg.ShiftTerminal != nil && *cfg.ShiftTerminal != 0, "shift_terminal is set, want none"},
		{cfg.InvertSigmas, "invert_sigmas is true, want false"},
		{cfg.KarrasSigmas || cfg.ExponentialSigmas || cfg.BetaSigmas, "karras, exponential or beta sigmas are on, want none"},
		{cfg.Stochastic, "stochastic_sampling is true, want false"},
	} {
		if row.bad {
			return fmt.Errorf("scheduler: config: %s", row.what)
		}
	}
	return nil
}

const className = "FlowMatchEulerDiscreteScheduler"

// Sigmas returns the steps+1 noise levels of a run over imageTokens tokens, from near 1 down to 0, after
// Flux2KleinPipeline and FlowMatchEulerDiscreteScheduler.set_timesteps, in the precision they use.
func Sigmas(imageTokens, steps int) []float32 {
	expMu := float32(math.Exp(empiricalMu(imageTokens, steps)))
	sigmas := make([]float32, steps+1)
	for i := range steps {
		s := 1.0
		if steps > 1 {
			low := 1 / float64(steps)
			s = 1 + float64(i)*((low-1)/float64(steps-1))
			if i == steps-1 {
				s = low
			}
		}
		sigmas[i] = expMu / (expMu + (1/float32(s) - 1))
	}
	return sigmas
}

// empiricalMu is compute_empirical_mu of the pipeline: a line in the number of tokens that was fitted at 10
// steps and another at 200, blended by the number of steps.
func empiricalMu(imageTokens, steps int) float64 {
	n := float64(imageTokens)
	at200 := 0.00016927*n + 0.45666666
	if imageTokens > 4300 {
		return at200
	}
	at10 := 8.73809524e-05*n + 1.89833333
	slope := (at200 - at10) / 190
	return slope*float64(steps) + at200 - 200*slope
}
