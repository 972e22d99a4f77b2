package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"tfw/api"
)

// Prompt is what a user is shown: to open a page on any machine and type the code there.
type Prompt struct {
	Page     string // URL
	Complete string // URL with the code in it; "" where the provider gives none
	Code     string
}

// DeviceLogin gets an ID token of the provider by the device flow (RFC 8628): show is called once, and the user
// has the time that the provider gives, or until ctx ends.
func DeviceLogin(ctx context.Context, offer api.LoginOffer, show func(Prompt)) (idToken string, err error) {
	ctx = oidc.ClientContext(ctx, &http.Client{Timeout: timeout})
	if err := (Config{Issuer: offer.Issuer, ClientID: offer.ClientID}).Check(); err != nil {
		return "", err
	}
	p, err := oidc.NewProvider(ctx, offer.Issuer)
	if err != nil {
		return "", fmt.Errorf("the OpenID provider %s: %w", offer.Issuer, err)
	}
	if p.Endpoint().DeviceAuthURL == "" {
		return "", fmt.Errorf("the OpenID provider %s does not offer the device flow (RFC 8628): ask an admin for a token", offer.Issuer)
	}
	client := oauth2.Config{ClientID: offer.ClientID, Endpoint: p.Endpoint(), Scopes: offer.Scopes}
	auth, err := client.DeviceAuth(ctx)
	if err != nil {
		return "", refusal(offer.Issuer, err)
	}
	show(Prompt{Page: auth.VerificationURI, Complete: auth.VerificationURIComplete, Code: auth.UserCode})
	token, err := client.DeviceAccessToken(ctx, auth)
	if err != nil {
		return "", refusal(offer.Issuer, err)
	}
	idToken, ok := token.Extra("id_token").(string)
	if !ok {
		return "", fmt.Errorf("the OpenID provider %s gave no ID token (the client must be allowed the scope openid)", offer.Issuer)
	}
	return idToken, nil
}

// refusal words what the provider said, without its body.
func refusal(issuer string, err error) error {
	var said *oauth2.RetrieveError
	switch {
	case !errors.As(err, &said):
		return fmt.Errorf("the OpenID provider %s: %w", issuer, err)
	case said.ErrorCode == "access_denied":
		return errors.New("the login was refused on the page")
	case said.ErrorCode == "expired_token":
		return errors.New("the code was not used in time: log in again")
	}
	return fmt.Errorf("the OpenID provider %s refused: %s %s", issuer, said.ErrorCode, said.ErrorDescription)
}
